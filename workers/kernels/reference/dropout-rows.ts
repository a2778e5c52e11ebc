import type { DropoutRowsArgs } from '../../layer-args.ts'
import { dropoutBits, dropoutKeys } from '../elementwise/dropout.ts'
import type { Reals } from '../kernel-set.ts'

/**
 *   y[r, j] = z[r, j]·x[r, j], z = 1/(1−p) where bits(r, j) ≥ ⌊p·2³²⌋, else 0
 *
 * bits by the generator of attention's dropout (dropout.ts) for element j of row r of x, y [rows, dim]. Its own backward:
 * gradX = z ⊙ gradY by the same call. A dropped NaN stays NaN, as in attention. Writes y.
 */
export function dropoutRows(t: { x: Reals; y: Reals }, a: DropoutRowsArgs, from: number, to: number): void {
  const threshold = Math.floor(a.p * 2 ** 32)
  const keep = 1 / (1 - a.p)
  for (let row = from; row < to; row++) {
    const keys = dropoutKeys(a, row)
    const at = row * a.dim
    for (let j = 0; j < a.dim; j++) {
      t.y[at + j] = (dropoutBits(keys, j) >= threshold ? keep : 0) * t.x[at + j]
    }
  }
}
