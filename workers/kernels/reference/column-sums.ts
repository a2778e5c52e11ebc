import { COLUMN_BLOCK, type ColumnSumsArgs } from '../../layer-args.ts'
import type { Reals } from '../kernel-set.ts'

/**
 *   y[head·width + j] = Σ_batch Σ_position x[batch, head, position, j]
 *
 * The gradient of a bias, whose rows are read where they stand, split into heads or not. Sums in float64, in the order of
 * the rows. A unit is COLUMN_BLOCK columns of y; writes them.
 */
export function columnSums(t: { x: Reals; y: Reals }, a: ColumnSumsArgs, from: number, to: number): void {
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
