/** Random directions for hashing. */
import type { Tensors } from '../define-op.ts'
import { mix } from '../dropout.ts'
import type * as op from './op.ts'
import { columnCount, type RotationArgs } from './op.ts'

/**
 *   rotations[round, d, column] = Σ_{n<4} u_n − 2,   u_n = bits(round, column, d, n)/2³²
 *
 * A sum of four uniform numbers, which is nearly normal and needs no function that machines round differently. The
 * generator is counter-based, on unsigned 32-bit integers, with mix() of dropout's generator:
 *
 *   key = mix(mix(round ^ mix(seedLow)) + mix(seedHigh ^ column))        bits = mix(mix((4·d + n) ^ key) + key)
 *
 * A unit is one column of one round. Writes rotations.
 */
export function lshRotations(
  t: Tensors<typeof op.lshRotations>,
  a: RotationArgs,
  from: number,
  to: number,
): void {
  const columns = columnCount(a)
  for (let unit = from; unit < to; unit++) {
    const round = Math.floor(unit / columns)
    const column = unit % columns
    const key = mix((mix(round ^ mix(a.seedLow)) + mix(a.seedHigh ^ column)) >>> 0)
    for (let d = 0; d < a.dim; d++) {
      let sum = -2
      for (let n = 0; n < 4; n++) sum += mix((mix((4 * d + n) ^ key) + key) >>> 0) / 2 ** 32
      t.rotations[(round * a.dim + d) * columns + column] = sum
    }
  }
}
