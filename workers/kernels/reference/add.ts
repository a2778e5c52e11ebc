import { type AddArgs, ELEMENT_BLOCK } from '../../layer-args.ts'
import type { Reals } from '../kernel-set.ts'

/**
 *   y[i] = a[i] + b[i mod period]
 *
 * Its own backward: the gradient of both terms is gradY (summed over the repetitions for b). A unit is ELEMENT_BLOCK
 * elements of a, y [count]; writes y.
 */
export function add(t: { a: Reals; b: Reals; y: Reals }, a: AddArgs, from: number, to: number): void {
  const begin = from * ELEMENT_BLOCK
  const end = Math.min(to * ELEMENT_BLOCK, a.count)
  for (let i = begin, j = begin % a.period; i < end; i++, j++) {
    if (j === a.period) j = 0
    t.y[i] = t.a[i] + t.b[j]
  }
}
