/** Products with weight matrices, y = x·W + b, and their two gradients. */
import { type Args, type ArgsOf, defineArgs, defineFamily, price, type StepContext } from '../define-op.ts'

/** Rows × columns of the result that are one unit of a product of many rows. */
export const PRODUCT_ROWS = 48
export const PRODUCT_COLUMNS = 512
/** Up to this many rows a unit has all of them, and fewer columns: each part of the weight is then read by one worker. */
export const THIN_ROWS = 192
export const THIN_COLUMNS = 64
/** Up to this many rows are multiplied by the weight where it stands: to pack it would take longer than to multiply by it. */
export const FEW_ROWS = 6

/** Rows that go through a packed block of columns at a time, and most of the depth packed. */
export const ROWS_TOGETHER = 96
export const PACK_DEPTH = 256
/** Columns of the widest variant's register tile. */
const PANEL = 16

const ROW = price(20, 100)
const PRODUCT = price(0.0185, 1.6)
/** An element of the weight; where there are more than caches hold, one that comes from memory. */
const WEIGHT = price(0.18, 4.5)
const FAR_WEIGHT = price(0.9, 6)
const CACHED = 2 ** 21
/** One that few rows are multiplied by where it stands, in order. */
const STREAMED_WEIGHT = price(0.22, 4.5)

const family = defineFamily('linear')

/**
 * For batch·positions rows. A side may stand split into heads, as attention reads it: x is [batch, headsIn, positions,
 * dimIn/headsIn], y is [batch, headsOut, positions, dimOut/headsOut]; with one head that is the plain [batch, positions,
 * dim]. Column c of a row is element c mod width of head ⌊c/width⌋.
 */
const args = defineArgs({
  batch: 'i32',
  positions: 'i32',
  dimIn: 'i32',
  dimOut: 'i32',
  headsIn: 'i32',
  headsOut: 'i32',
  /** x may hold NaN or ∞ where gradY is 0 (padding): `linearBackwardWeight` must then skip rows whose gradY is all zero */
  nonFinite: 'flag?',
})

type Sizes = ArgsOf<typeof args>

/** What a product in progress notes of itself, and its packed operands; the same for all three products of a layer. */
const areas = {
  product: () => 1024,
  packs: ({ batch, positions, dimIn, dimOut }: Sizes) => {
    const depth = Math.min(PACK_DEPTH, Math.max(dimIn, dimOut, batch * positions))
    const columns = Math.min(PRODUCT_COLUMNS, Math.ceil(Math.max(dimIn, dimOut) / PANEL) * PANEL)
    return (ROWS_TOGETHER + columns) * depth * 4
  },
}

/** Rows and columns of the result that are one unit of a product. */
export function blockSize(rows: number): { rows: number; columns: number } {
  if (rows <= THIN_ROWS) return { rows: Math.max(1, rows), columns: THIN_COLUMNS }
  return { rows: PRODUCT_ROWS, columns: PRODUCT_COLUMNS }
}

/** Units of a product with a result of these rows and columns. */
function productUnits(rows: number, columns: number): number {
  const block = blockSize(rows)
  return Math.ceil(rows / block.rows) * Math.ceil(columns / block.columns)
}

function cost({ batch, positions, dimIn, dimOut }: Sizes, { precision: p }: StepContext) {
  const rows = batch * positions
  const weights = dimIn * dimOut
  const products = rows * weights
  const weight = rows <= FEW_ROWS ? STREAMED_WEIGHT : weights > CACHED ? FAR_WEIGHT : WEIGHT
  return {
    flops: 2 * products,
    nanoseconds: rows * ROW[p] + products * PRODUCT[p] + weights * weight[p],
  }
}

/**
 * y = x·W + bias + residual. weight [dimIn, dimOut], bias [dimOut], residual laid out like y. Units are numbered column
 * block by column block: unit = columnBlock·⌈rows/block rows⌉ + rowBlock (`blockSize`).
 */
export const linearForward = family.define('linearForward', {
  tensors: { x: 'in', weight: 'in', bias: 'in?', residual: 'in?', y: 'out' },
  args,
  units: a => productUnits(a.batch * a.positions, a.dimOut),
  cost,
  areas,
})

/** gradX = gradY·Wᵀ + residual, laid out like x. Units as above. */
export const linearBackwardInput = family.define('linearBackwardInput', {
  tensors: { gradY: 'in', weight: 'in', residual: 'in?', gradX: 'out' },
  args,
  units: a => productUnits(a.batch * a.positions, a.dimIn),
  cost,
  areas,
})

/** gradWeight = xᵀ·gradY [dimIn, dimOut], summed over the rows. Units as above. */
export const linearBackwardWeight = family.define('linearBackwardWeight', {
  tensors: { x: 'in', gradY: 'in', gradWeight: 'out' },
  args,
  units: a => productUnits(a.dimIn, a.dimOut),
  cost,
  areas,
})

export type LinearArgs = Args<typeof linearForward>
