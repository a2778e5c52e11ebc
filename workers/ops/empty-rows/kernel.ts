/** Rows that attend to nothing, written as NaN or as a mean over all keys; and what that makes of gradients. */
import type { Reals } from '../define-op.ts'
import type {
  HeadMeansArgs,
  HeadMeansTensors,
  ToKeysArgs,
  ToKeysTensors,
  ToMaskArgs,
  ToMaskTensors,
  WriteArgs,
  WriteTensors,
} from './op.ts'

interface Rows {
  denominator: Float64Array
  qLengths?: Int32Array
}

/** Row i of batch element b, the row'th of all. */
function isEmpty({ denominator, qLengths }: Rows, row: number, b: number, i: number): boolean {
  return denominator[2 * row + 1] === 0 && (qLengths === undefined || i < qLengths[b])
}

/** Σ of `count` rows of `dim` elements from row `first` on, over a divisor. */
function meanOf(x: Reals, first: number, count: number, dim: number, divisor: number): Float64Array {
  const mean = new Float64Array(dim)
  for (let row = first; row < first + count; row++) {
    for (let d = 0; d < dim; d++) mean[d] += x[row * dim + d]
  }
  for (let d = 0; d < dim; d++) mean[d] /= divisor
  return mean
}

/**
 *   nan: y[row] = NaN     value: y[row] = value     mean: y[row] = (Σ_j v[j])/keys of the kv head; 0 without keys
 *
 * in empty rows, x[row] in others. A unit is a row of [batch, heads, queries].
 */
export function writeEmptyRows(t: WriteTensors, a: WriteArgs, from: number, to: number): void {
  const { heads, kvHeads, queries, keys, dim, by } = a
  let mean: Reals = new Float64Array(0)
  let meanHead = -1
  for (let row = from; row < to; row++) {
    const batchHead = Math.floor(row / queries)
    const b = Math.floor(batchHead / heads)
    const at = row * dim
    if (!isEmpty(t, row, b, row - batchHead * queries)) {
      if (t.x !== t.y) t.y.set(t.x.subarray(at, at + dim), at)
    } else if (by === 'mean' && t.v !== undefined && keys > 0) {
      const kvHead = b * kvHeads + Math.floor(((batchHead - b * heads) * kvHeads) / heads)
      if (kvHead !== meanHead) mean = meanOf(t.v, kvHead * keys, keys, dim, keys)
      meanHead = kvHead
      t.y.set(mean, at)
    } else {
      t.y.fill(by === 'nan' ? Number.NaN : by === 'value' ? a.value : 0, at, at + dim)
    }
  }
}

/**
 *   nan: y = NaN where a row of the group is empty     share: y[j] = x[j] + (Σ over the group's empty rows of gradOutput)/keys
 *
 * A unit is a kv head; the sum is in the order of the rows.
 */
export function emptyRowsToKeys(t: ToKeysTensors, a: ToKeysArgs, from: number, to: number): void {
  const { heads, kvHeads, queries, keys, dim, by } = a
  const group = heads / kvHeads
  for (let unit = from; unit < to; unit++) {
    const b = Math.floor(unit / kvHeads)
    const firstRow = unit * group * queries
    const share = new Float64Array(dim)
    let some = false
    for (let row = firstRow; row < firstRow + group * queries; row++) {
      if (!isEmpty(t, row, b, row % queries)) continue
      some = true
      if (t.gradOutput === undefined) continue
      for (let d = 0; d < dim; d++) share[d] += t.gradOutput[row * dim + d] / keys
    }
    const [start, end] = [unit * keys * dim, (unit + 1) * keys * dim]
    if (by === 'nan' && some) t.y.fill(Number.NaN, start, end)
    else if (!some) t.y.set(t.x.subarray(start, end), start)
    else for (let at = start; at < end; at++) t.y[at] = t.x[at] + share[(at - start) % dim]
  }
}

/** y = x, NaN at the elements of empty rows. */
export function emptyRowsToMask(t: ToMaskTensors, a: ToMaskArgs, _from: number, to: number): void {
  if (to === 0) return
  const { batch, heads, queries, keys } = a
  const [ofBatch, ofHead, ofRow, ofKey] = a.maskStrides
  if (t.x !== t.y) t.y.set(t.x)
  for (let row = 0; row < batch * heads * queries; row++) {
    const batchHead = Math.floor(row / queries)
    const b = Math.floor(batchHead / heads)
    const i = row - batchHead * queries
    if (!isEmpty(t, row, b, i)) continue
    const at = b * ofBatch + (batchHead - b * heads) * ofHead + i * ofRow
    for (let j = 0; j < keys; j++) t.y[at + j * ofKey] = Number.NaN
  }
}

/** y[b] = (Σ_h x[b, h])/heads, from the first head on. A unit is a batch element. */
export function headMeans({ x, y }: HeadMeansTensors, a: HeadMeansArgs, from: number, to: number): void {
  const { heads, width } = a
  for (let b = from; b < to; b++) {
    for (let at = 0; at < width; at++) {
      let sum = 0
      for (let head = 0; head < heads; head++) sum += x[(b * heads + head) * width + at]
      y[b * width + at] = sum / heads
    }
  }
}
