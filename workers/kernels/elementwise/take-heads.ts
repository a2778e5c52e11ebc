import type { TakeHeadsArgs } from '../../map-args.ts'
import type { Reals } from '../kernel-set.ts'

/**
 *   y[b, i, :] = x[b, chosen[i], :]
 *
 * x [batch, heads, width], y [batch, chosen.length, width]; of one element type. A unit is one (b, i); writes that row.
 */
export function takeHeads(t: { x: Reals; y: Reals }, a: TakeHeadsArgs, from: number, to: number): void {
  const { heads, chosen, width } = a
  for (let unit = from; unit < to; unit++) {
    const b = Math.floor(unit / chosen.length)
    const at = (b * heads + chosen[unit % chosen.length]) * width
    t.y.set(t.x.subarray(at, at + width), unit * width)
  }
}
