/** Sums, dropout, padding and concatenation: what goes through tensors once, as fast as memory. */
import { type Args, type ArgsOf, defineArgs, defineFamily, price, type StepContext } from '../define-op.ts'
import { ELEMENT_BLOCK } from '../element-block.ts'

export { ELEMENT_BLOCK }

/** Columns of one unit of `columnSums`. */
export const COLUMN_BLOCK = 64

/** Rough operations a dropped or kept element takes. */
const DROPOUT_FLOPS = 10

const ADDED = price(0.1, 1)
const SUMMED = price(0.4, 3.6)
const DROPPED = price(0.9, 8)
const KEPT_ROW = price(30)
const COPIED = price(0.5)
const DROPPED_ROW = price(20, 50)

const family = defineFamily('elementwise')

/** y[i] = a[i] + b[i mod period]. Unit = ELEMENT_BLOCK elements. Its own backward: both gradients are gradY. */
export const add = family.define('add', {
  tensors: { a: 'in', b: 'in', y: 'out' },
  args: {
    count: 'i32',
    /** count adds two tensors, a smaller one repeats b */
    period: 'i32',
  },
  units: a => Math.ceil(a.count / ELEMENT_BLOCK),
  cost: (a, { units, precision: p }) => ({ flops: units * ELEMENT_BLOCK, nanoseconds: a.count * ADDED[p] }),
})

/**
 * y[head·width + j] = Σ over batch and positions of x[batch, head, position, j]. Unit = COLUMN_BLOCK columns of y
 * [heads·width]. Gradients of biases, and the sum over a norm's partials.
 */
export const columnSums = family.define('columnSums', {
  tensors: { x: 'in', y: 'out' },
  args: { batch: 'i32', heads: 'i32', positions: 'i32', width: 'i32' },
  units: a => Math.ceil((a.heads * a.width) / COLUMN_BLOCK),
  cost: (a, { precision: p }) => {
    const elements = a.batch * a.positions * a.heads * a.width
    return { flops: elements, nanoseconds: elements * SUMMED[p] }
  },
})

/**
 * y = z ⊙ x, z = 0 or 1/(1−p), by the generator of attention's dropout for element j of row r. Unit = row. Its own
 * backward: gradX = z ⊙ gradY by the same call.
 */
export const dropoutRows = family.define('dropoutRows', {
  tensors: { x: 'in', y: 'out' },
  args: { rows: 'i32', dim: 'i32', p: 'f64', seedLow: 'u32', seedHigh: 'u32' },
  words: {
    dropThreshold: { type: 'u32', of: a => Math.floor(a.p * 2 ** 32) },
    keepScale: { type: 'f32', of: a => 1 / (1 - a.p) },
  },
  units: a => a.rows,
  cost: (a, { precision: p }) => ({
    flops: a.rows * a.dim * DROPOUT_FLOPS,
    nanoseconds: a.rows * (DROPPED_ROW[p] + a.dim * DROPPED[p]),
  }),
})

/** y = x where the row is no padding, else 0: rows of a batch from its length on are padding. Unit = row. */
export const maskRows = family.define('maskRows', {
  tensors: { x: 'in', lengths: 'in:int32', y: 'out' },
  args: { batch: 'i32', positions: 'i32', dim: 'i32' },
  units: a => a.batch * a.positions,
  cost: (a, { units, precision: p }) => ({
    flops: units * a.dim,
    nanoseconds: units * (KEPT_ROW[p] + a.dim * COPIED[p]),
  }),
  shared: true,
})

const concatArgs = defineArgs({
  /** batch·heads */
  heads: 'i32',
  past: 'i32',
  positions: 'i32',
  dim: 'i32',
})

function concatCost(
  { heads, past, positions, dim }: ArgsOf<typeof concatArgs>,
  { precision: p }: StepContext,
) {
  const elements = heads * (past + positions) * dim
  return { flops: elements, nanoseconds: elements * COPIED[p] }
}

/** y [heads, past + positions, dim] from past [heads, past, dim] and x [heads, positions, dim]. Unit = head. */
export const concatForward = family.define('concatForward', {
  tensors: { past: 'in', x: 'in', y: 'out' },
  args: concatArgs,
  units: a => a.heads,
  cost: concatCost,
  shared: true,
})

/** The two parts of gradY, each where given. Unit = head. */
export const concatBackward = family.define('concatBackward', {
  tensors: { gradY: 'in', gradPast: 'out?', gradX: 'out?' },
  args: concatArgs,
  units: a => a.heads,
  cost: concatCost,
  shared: true,
})

export type AddArgs = Args<typeof add>
export type ColumnSumsArgs = Args<typeof columnSums>
