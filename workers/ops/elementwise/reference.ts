/** Sums, and dropout of rows. */
import type { Args, Tensors } from '../define-op.ts'
import { dropoutBits, dropoutKeys } from '../dropout.ts'
import type * as op from './op.ts'
import { type AddArgs, COLUMN_BLOCK, type ColumnSumsArgs, ELEMENT_BLOCK } from './op.ts'

/**
 *   y[i] = a[i] + b[i mod period]
 *
 * Its own backward: the gradient of both terms is gradY (summed over the repetitions for b). A unit is ELEMENT_BLOCK
 * elements of a, y [count]; writes y.
 */
export function add(t: Tensors<typeof op.add>, a: AddArgs, from: number, to: number): void {
  const begin = from * ELEMENT_BLOCK
  const end = Math.min(to * ELEMENT_BLOCK, a.count)
  for (let i = begin, j = begin % a.period; i < end; i++, j++) {
    if (j === a.period) j = 0
    t.y[i] = t.a[i] + t.b[j]
  }
}

/**
 *   y[head·width + j] = Σ_batch Σ_position x[batch, head, position, j]
 *
 * The gradient of a bias, whose rows are read where they stand, split into heads or not. Sums in float64, in the order of
 * the rows. A unit is COLUMN_BLOCK columns of y; writes them.
 */
export function columnSums(
  t: Tensors<typeof op.columnSums>,
  a: ColumnSumsArgs,
  from: number,
  to: number,
): void {
  const sums = new Float64Array(COLUMN_BLOCK)
  for (let unit = from; unit < to; unit++) {
    const begin = unit * COLUMN_BLOCK
    const end = Math.min(begin + COLUMN_BLOCK, a.heads * a.width)
    sums.fill(0)
    for (let batch = 0; batch < a.batch; batch++) {
      // the part of the columns that one head holds
      for (let column = begin; column < end; ) {
        const head = Math.floor(column / a.width)
        const next = Math.min((head + 1) * a.width, end)
        let at = (batch * a.heads + head) * a.positions * a.width + (column - head * a.width)
        for (let position = 0; position < a.positions; position++, at += a.width) {
          for (let c = 0; c < next - column; c++) sums[column - begin + c] += t.x[at + c]
        }
        column = next
      }
    }
    for (let column = begin; column < end; column++) t.y[column] = sums[column - begin]
  }
}

/**
 *   y[r, j] = z[r, j]·x[r, j], z = 1/(1−p) where bits(r, j) ≥ ⌊p·2³²⌋, else 0
 *
 * bits by the generator of attention's dropout (dropout.ts) for element j of row r of x, y [rows, dim]. Its own backward:
 * gradX = z ⊙ gradY by the same call. A dropped NaN stays NaN, as in attention. Writes y.
 */
export function dropoutRows(
  t: Tensors<typeof op.dropoutRows>,
  a: Args<typeof op.dropoutRows>,
  from: number,
  to: number,
): void {
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
