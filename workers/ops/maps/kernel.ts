/** Chosen heads of maps, and thumbnails: a large map pooled into a small one, and that as a byte an element. */
import type { Args, Reals, Tensors } from '../define-op.ts'
import type * as op from './op.ts'
import type { PoolMapsArgs, QuantiseMapsArgs, TakeHeadsArgs } from './op.ts'

/**
 *   y[b, i, :] = x[b, chosen[i], :]
 *
 * x [batch, heads, width], y [batch, chosen.length, width]; of one element type. A unit is one (b, i); writes that row.
 */
export function takeHeads(t: Tensors<typeof op.takeHeads>, a: TakeHeadsArgs, from: number, to: number): void {
  const { heads, chosen, width } = a
  for (let unit = from; unit < to; unit++) {
    const b = Math.floor(unit / chosen.length)
    const at = (b * heads + chosen[unit % chosen.length]) * width
    t.y.set(t.x.subarray(at, at + width), unit * width)
  }
}

/**
 *   max:  y[m, r, c] = the element of largest magnitude, with its sign, in the square [r·block, …) × [c·block, …) of x[m]
 *   mean: y[m, r, c] = their mean
 *
 * x [maps, rows, columns], y [maps, ⌈rows/block⌉, ⌈columns/block⌉]; squares at the edges hold what there is.
 * Hazard: NaN (only with non-finite inputs) is no largest element: `max` passes it over (0 where there is nothing else).
 * A unit is one row of y; writes it. Reads every element once, in order: memory speed.
 */
export function poolMaps(t: Tensors<typeof op.poolMaps>, a: PoolMapsArgs, from: number, to: number): void {
  const { rows, columns, block } = a
  const pooledRows = Math.ceil(rows / block)
  const pooledColumns = Math.ceil(columns / block)
  const sums = new Float64Array(pooledColumns)
  const addRow = a.pool === 'max' ? largestOf : sumOf
  for (let unit = from; unit < to; unit++) {
    const map = Math.floor(unit / pooledRows)
    const first = (unit - map * pooledRows) * block
    const last = Math.min(first + block, rows)
    sums.fill(0)
    for (let row = first; row < last; row++) addRow(t.x, (map * rows + row) * columns, columns, block, sums)
    const at = unit * pooledColumns
    for (let column = 0; column < pooledColumns; column++) {
      const width = Math.min(block, columns - column * block)
      t.y[at + column] = a.pool === 'max' ? sums[column] : sums[column] / ((last - first) * width)
    }
  }
}

function largestOf(x: Reals, at: number, columns: number, block: number, into: Float64Array): void {
  for (let column = 0, j = 0; j < columns; column++) {
    const end = Math.min(j + block, columns)
    let largest = into[column]
    let magnitude = Math.abs(largest)
    for (; j < end; j++) {
      const value = x[at + j]
      if (Math.abs(value) > magnitude) {
        largest = value
        magnitude = Math.abs(value)
      }
    }
    into[column] = largest
  }
}

function sumOf(x: Reals, at: number, columns: number, block: number, into: Float64Array): void {
  for (let column = 0, j = 0; j < columns; column++) {
    const end = Math.min(j + block, columns)
    let sum = into[column]
    for (; j < end; j++) sum += x[at + j]
    into[column] = sum
  }
}

/**
 *   scale[m] = the largest finite |x[m, i]|
 *   y = round(255·x/scale)          x ≥ 0
 *   y = 128 + round(127·x/scale)    signed: 128 is 0
 *
 * x, y [maps, elements], scale [maps]. Where all is 0 the scale is 0 and y is 0 (signed: 128). Hazard: NaN counts as 0;
 * what lies beyond the scale (±∞) goes to the nearest end. A unit is one map; writes its y and its scale.
 */
export function quantiseMaps(
  t: Tensors<typeof op.quantiseMaps>,
  a: QuantiseMapsArgs,
  from: number,
  to: number,
): void {
  const [zero, steps] = a.signed ? [128, 127] : [0, 255]
  for (let map = from; map < to; map++) {
    const begin = map * a.elements
    const end = begin + a.elements
    let scale = 0
    for (let i = begin; i < end; i++) {
      const magnitude = Math.abs(t.x[i])
      if (magnitude > scale && magnitude < Number.POSITIVE_INFINITY) scale = magnitude
    }
    t.scale[map] = scale
    for (let i = begin; i < end; i++) {
      const value = t.x[i]
      const share = scale === 0 || Number.isNaN(value) ? 0 : Math.min(1, Math.max(-1, value / scale))
      t.y[i] = zero + Math.round(steps * share)
    }
  }
}

/**
 * y[c] = max over parts and rows of x [parts, count, rows], −∞ where there is nothing; a NaN comes through.
 * A unit is an element of y.
 */
export function headMaxima(
  { x, y }: Tensors<typeof op.headMaxima>,
  a: Args<typeof op.headMaxima>,
  from: number,
  to: number,
): void {
  for (let c = from; c < to; c++) {
    let most = Number.NEGATIVE_INFINITY
    for (let part = 0; part < a.parts; part++) {
      const begin = (part * a.count + c) * a.rows
      for (let at = begin; at < begin + a.rows; at++) most = Math.max(most, x[at])
    }
    y[c] = most
  }
}
