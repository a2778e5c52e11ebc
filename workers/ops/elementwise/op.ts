/** Sums, dropout, padding and concatenation: what goes through tensors once, as fast as memory. */
import { type Args, defineArgs, defineFamily } from '../define-op.ts'
import { ELEMENT_BLOCK } from '../element-block.ts'

export { ELEMENT_BLOCK }

/** Columns of one unit of `columnSums`. */
export const COLUMN_BLOCK = 64

/** Rough operations a dropped or kept element takes. */
const DROPOUT_FLOPS = 10

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
  cost: (_, { units }) => ({ flops: units * ELEMENT_BLOCK }),
})

/**
 * y[head·width + j] = Σ over batch and positions of x[batch, head, position, j]. Unit = COLUMN_BLOCK columns of y
 * [heads·width]. Gradients of biases, and the sum over a norm's partials.
 */
export const columnSums = family.define('columnSums', {
  tensors: { x: 'in', y: 'out' },
  args: { batch: 'i32', heads: 'i32', positions: 'i32', width: 'i32' },
  units: a => Math.ceil((a.heads * a.width) / COLUMN_BLOCK),
  cost: a => ({ flops: a.batch * a.positions * a.heads * a.width }),
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
  cost: a => ({ flops: a.rows * a.dim * DROPOUT_FLOPS }),
})

/** y = x where the row is no padding, else 0: rows of a batch from its length on are padding. Unit = row. */
export const maskRows = family.define('maskRows', {
  tensors: { x: 'in', lengths: 'in:int32', y: 'out' },
  args: { batch: 'i32', positions: 'i32', dim: 'i32' },
  units: a => a.batch * a.positions,
  cost: (a, { units }) => ({ flops: units * a.dim }),
  shared: true,
})

const concatArgs = defineArgs({
  /** batch·heads */
  heads: 'i32',
  past: 'i32',
  positions: 'i32',
  dim: 'i32',
})

/** y [heads, past + positions, dim] from past [heads, past, dim] and x [heads, positions, dim]. Unit = head. */
export const concatForward = family.define('concatForward', {
  tensors: { past: 'in', x: 'in', y: 'out' },
  args: concatArgs,
  units: a => a.heads,
  cost: a => ({ flops: a.heads * (a.past + a.positions) * a.dim }),
  shared: true,
})

/** The two parts of gradY, each where given. Unit = head. */
export const concatBackward = family.define('concatBackward', {
  tensors: { gradY: 'in', gradPast: 'out?', gradX: 'out?' },
  args: concatArgs,
  units: a => a.heads,
  cost: a => ({ flops: a.heads * (a.past + a.positions) * a.dim }),
  shared: true,
})

export type AddArgs = Args<typeof add>
export type ColumnSumsArgs = Args<typeof columnSums>
