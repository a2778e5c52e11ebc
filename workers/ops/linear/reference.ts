/** Products with weight matrices: x·W and its two gradients, block by block of the result. */
import type { Tensors } from '../define-op.ts'
import type * as op from './op.ts'
import { blockSize, type LinearArgs } from './op.ts'
import { readRow, type SplitRows, writeRow } from './split-rows.ts'

/**
 *   y[r, c] = Σ_k x[r, k]·weight[k, c] + bias[c] + residual[r, c]
 *
 * r row of batch·positions, k of dimIn, c of dimOut; bias and residual where given; x and y may stand split into heads
 * (op.ts). Writes the unit's block of y. The sum over k starts at 0 and runs upwards; bias and residual follow.
 */
export function linearForward(
  t: Tensors<typeof op.linearForward>,
  a: LinearArgs,
  from: number,
  to: number,
): void {
  const [input, output] = [inputRows(a), outputRows(a)]
  const x = new Float64Array(a.dimIn)
  const residual = new Float64Array(a.dimOut)
  const sums = new Float64Array(a.dimOut)
  for (let unit = from; unit < to; unit++) {
    const { rowFrom, rowTo, columnFrom, columnTo } = blockOf(unit, a.batch * a.positions, a.dimOut)
    for (let row = rowFrom; row < rowTo; row++) {
      readRow(t.x, input, row, x)
      sums.fill(0, columnFrom, columnTo)
      for (let k = 0; k < a.dimIn; k++) {
        for (let c = columnFrom; c < columnTo; c++) sums[c] += x[k] * t.weight[k * a.dimOut + c]
      }
      if (t.bias) for (let c = columnFrom; c < columnTo; c++) sums[c] += t.bias[c]
      if (t.residual) {
        readRow(t.residual, output, row, residual)
        for (let c = columnFrom; c < columnTo; c++) sums[c] += residual[c]
      }
      writeRow(t.y, output, row, sums, columnFrom, columnTo)
    }
  }
}

/**
 * Differentiates linearForward by x:
 *
 *   gradX[r, k] = Σ_c gradY[r, c]·weight[k, c] + residual[r, k]
 *
 * residual, where given, is what else reaches x (a skip connection). Writes the unit's block of gradX.
 */
export function linearBackwardInput(
  t: Tensors<typeof op.linearBackwardInput>,
  a: LinearArgs,
  from: number,
  to: number,
): void {
  const [input, output] = [inputRows(a), outputRows(a)]
  const gradY = new Float64Array(a.dimOut)
  const residual = new Float64Array(a.dimIn)
  const sums = new Float64Array(a.dimIn)
  for (let unit = from; unit < to; unit++) {
    const { rowFrom, rowTo, columnFrom, columnTo } = blockOf(unit, a.batch * a.positions, a.dimIn)
    for (let row = rowFrom; row < rowTo; row++) {
      readRow(t.gradY, output, row, gradY)
      if (t.residual) readRow(t.residual, input, row, residual)
      for (let k = columnFrom; k < columnTo; k++) {
        let sum = 0
        for (let c = 0; c < a.dimOut; c++) sum += gradY[c] * t.weight[k * a.dimOut + c]
        sums[k] = sum + residual[k]
      }
      writeRow(t.gradX, input, row, sums, columnFrom, columnTo)
    }
  }
}

/**
 * Differentiates linearForward by its weight:
 *
 *   gradWeight[k, c] = Σ_r x[r, k]·gradY[r, c]
 *
 * Hazard: a row that is padding has gradY = 0, but its x may be NaN, and 0·NaN is NaN: rows whose gradY is all zero are
 * left out, which changes nothing where x is finite. Writes the unit's block of gradWeight.
 */
export function linearBackwardWeight(
  t: Tensors<typeof op.linearBackwardWeight>,
  a: LinearArgs,
  from: number,
  to: number,
): void {
  const [input, output] = [inputRows(a), outputRows(a)]
  const x = new Float64Array(a.dimIn)
  const gradY = new Float64Array(a.dimOut)
  const block = blockSize(a.dimIn)
  const sums = new Float64Array(block.rows * block.columns)
  for (let unit = from; unit < to; unit++) {
    const { rowFrom, rowTo, columnFrom, columnTo } = blockOf(unit, a.dimIn, a.dimOut)
    const width = columnTo - columnFrom
    sums.fill(0)
    for (let row = 0; row < a.batch * a.positions; row++) {
      readRow(t.gradY, output, row, gradY)
      if (gradY.every(g => g === 0)) continue
      readRow(t.x, input, row, x)
      for (let k = rowFrom; k < rowTo; k++) {
        const at = (k - rowFrom) * width
        for (let c = 0; c < width; c++) sums[at + c] += x[k] * gradY[columnFrom + c]
      }
    }
    for (let k = rowFrom; k < rowTo; k++) {
      const at = (k - rowFrom) * width
      for (let c = 0; c < width; c++) t.gradWeight[k * a.dimOut + columnFrom + c] = sums[at + c]
    }
  }
}

function inputRows({ positions, headsIn, dimIn }: LinearArgs): SplitRows {
  return { positions, heads: headsIn, width: dimIn / headsIn }
}

function outputRows({ positions, headsOut, dimOut }: LinearArgs): SplitRows {
  return { positions, heads: headsOut, width: dimOut / headsOut }
}

/** The block of a [rows, columns] result that a unit computes: column block by column block. */
function blockOf(unit: number, rows: number, columns: number) {
  const block = blockSize(rows)
  const rowBlocks = Math.ceil(rows / block.rows)
  const rowFrom = (unit % rowBlocks) * block.rows
  const columnFrom = Math.floor(unit / rowBlocks) * block.columns
  return {
    rowFrom,
    rowTo: Math.min(rowFrom + block.rows, rows),
    columnFrom,
    columnTo: Math.min(columnFrom + block.columns, columns),
  }
}
