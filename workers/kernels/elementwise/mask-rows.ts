/** Rows that are padding become zeros. */
import type { MaskRowsArgs } from '../../layer-args.ts'
import type { Reals } from '../kernel-set.ts'

/**
 *   y[b, i, :] = x[b, i, :] for i < lengths[b], 0 from there on
 *
 * for rows of x, y [batch, positions, dim]. What stands in padding is not read as a number: it may be NaN. Writes y.
 */
export function maskRows(
  t: { x: Reals; lengths: Int32Array; y: Reals },
  a: MaskRowsArgs,
  from: number,
  to: number,
): void {
  for (let row = from; row < to; row++) {
    const begin = row * a.dim
    const live = row % a.positions < t.lengths[Math.floor(row / a.positions)]
    if (live) t.y.set(t.x.subarray(begin, begin + a.dim), begin)
    else t.y.fill(0, begin, begin + a.dim)
  }
}
