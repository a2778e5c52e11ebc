/** What stands around a stack in a language model: embeddings of tokens, a last product with the vocabulary, and what is read from both. */
import { type Args, defineArgs, defineFamily, oneOf, price, type Tensors } from '../define-op.ts'
import { ELEMENT_BLOCK } from '../element-block.ts'

/** Columns of one unit of `embedBackward`. */
const COLUMNS = 64

const ROW = price(40)
const SUMMED = price(1.2)
const COPIED = price(0.6)
const TURNED = price(2.5)
const EXPONENTIAL = price(12)
const COMPARED = price(1.5)

const family = defineFamily('tokens')

/**
 * y[r] = factor·scales[r]·table[ids[r]] + positions[places[r]] + types[kinds[r]], each where given. Unit = row. Tables are of either
 * precision: they are read where they lie.
 */
export const embedTokens = family.define('embedTokens', {
  tensors: {
    ids: 'in:int32',
    table: 'in:reals',
    places: 'in?:int32',
    positions: 'in?:reals',
    kinds: 'in?:int32',
    types: 'in?:reals',
    scales: 'in?:float64',
    y: 'out',
  },
  args: { rows: 'i32', dim: 'i32', factor: 'f64' },
  units: a => a.rows,
  cost: (a, { units, precision: p }) => ({
    flops: 2 * units * a.dim,
    nanoseconds: units * (ROW[p] + 3 * a.dim * COPIED[p]),
  }),
  shared: true,
})

/** gradTable[v] = factor·Σ_{ids[r] = v} gradY[r], rows in order. Unit = COLUMNS columns of gradTable [entries, dim]. */
export const embedBackward = family.define('embedBackward', {
  tensors: { ids: 'in:int32', gradY: 'in', gradTable: 'out' },
  args: { rows: 'i32', dim: 'i32', entries: 'i32', factor: 'f64' },
  units: a => Math.ceil(a.dim / COLUMNS),
  cost: (a, { precision: p }) => ({
    flops: 2 * a.rows * a.dim,
    nanoseconds: a.rows * a.dim * SUMMED[p] + a.entries * a.dim * COPIED[p],
  }),
  shared: true,
})

/** y = x + shift, x of either precision. Unit = ELEMENT_BLOCK elements. */
export const widenWeights = family.define('widenWeights', {
  tensors: { x: 'in:reals', y: 'out' },
  args: { count: 'i32', shift: 'f64' },
  units: a => Math.ceil(a.count / ELEMENT_BLOCK),
  cost: (a, { precision: p }) => ({ nanoseconds: a.count * COPIED[p] }),
  shared: true,
})

/**
 * y [rows, columns] from parts that stand side by side along an axis, in its order, each as it stands or transposed: the gradient of a
 * weight as its checkpoint has it, from those of the matrices that it was cut into. Unit = row of y.
 */
export const joinWeights = family.define('joinWeights', {
  tensors: { a: 'in', b: 'in?', c: 'in?', y: 'out' },
  args: {
    rows: 'i32',
    columns: 'i32',
    axis: oneOf('rows', 'columns'),
    /** extents of the first two along the axis */
    first: 'i32',
    second: 'i32',
    /** the parts are [columns, rows] of theirs */
    transposed: 'flag',
  },
  units: a => a.rows,
  cost: (a, { precision: p }) => ({ nanoseconds: a.rows * (ROW[p] + a.columns * TURNED[p]) }),
  shared: true,
})

/** y[i] = x[chosen[i]], rows of `dim`. Unit = row of y. */
export const takeRows = family.define('takeRows', {
  tensors: { x: 'in', chosen: 'in:int32', y: 'out' },
  args: { count: 'i32', dim: 'i32' },
  units: a => a.count,
  cost: (a, { units, precision: p }) => ({ nanoseconds: units * (ROW[p] + a.dim * COPIED[p]) }),
  shared: true,
})

/** gradX [rows, dim] = Σ of gradY[i] where chosen[i] is that row, 0 elsewhere. Unit = row of gradX. */
export const putRows = family.define('putRows', {
  tensors: { gradY: 'in', chosen: 'in:int32', gradX: 'out' },
  args: { rows: 'i32', count: 'i32', dim: 'i32' },
  units: a => a.rows,
  cost: (a, { units, precision: p }) => ({
    nanoseconds: units * (ROW[p] + a.count * COMPARED[p] + a.dim * COPIED[p]),
  }),
  shared: true,
})

const vocabularyRows = defineArgs({ rows: 'i32', vocabulary: 'i32' })

/**
 * What is differentiated of rows of logits: value = logits[target] or its log-probability, gradLogits = its gradient. Unit = row.
 */
export const tokenObjective = family.define('tokenObjective', {
  tensors: { logits: 'in', targets: 'in:int32', gradLogits: 'out', values: 'out:float64' },
  args: { ...vocabularyRows, kind: oneOf('logit', 'log_probability') },
  units: a => a.rows,
  cost: (a, { units, precision: p }) => ({
    flops: 4 * units * a.vocabulary,
    nanoseconds: units * (ROW[p] + 2 * a.vocabulary * EXPONENTIAL[p]),
  }),
  shared: true,
})

/** gradX = gradY·(1 − (y/cap)²) where y = cap·tanh(x/cap). Unit = ELEMENT_BLOCK elements. */
export const capBackward = family.define('capBackward', {
  tensors: { y: 'in', gradY: 'in', gradX: 'out' },
  args: { count: 'i32', cap: 'f64' },
  units: a => Math.ceil(a.count / ELEMENT_BLOCK),
  cost: (a, { precision: p }) => ({ flops: 4 * a.count, nanoseconds: 2 * a.count * COPIED[p] }),
  shared: true,
})

/** found[r] = the `top` most probable tokens of a row of logits, (id, probability) each, the most probable first. Unit = row. */
export const topTokens = family.define('topTokens', {
  tensors: { logits: 'in', found: 'out:float64' },
  args: { ...vocabularyRows, top: 'i32' },
  units: a => a.rows,
  cost: (a, { units, precision: p }) => ({
    flops: 4 * units * a.vocabulary,
    nanoseconds: units * (ROW[p] + a.vocabulary * (EXPONENTIAL[p] + COMPARED[p] * Math.log2(2 + a.top))),
  }),
  shared: true,
})

/**
 * id [1] = the next token by a row of logits: the most probable one at temperature 0, else one drawn from softmax(logits/temperature) over
 * the topK most probable (0: all), by the hash of dropout for draw number `draw`. One unit.
 */
export const nextToken = family.define('nextToken', {
  /** `value`: the same id, for whom it is told */
  tensors: { logits: 'in', id: 'out:int32', value: 'out:float64' },
  args: { vocabulary: 'i32', temperature: 'f64', topK: 'i32', seedLow: 'u32', seedHigh: 'u32', draw: 'i32' },
  units: () => 1,
  cost: (a, { precision: p }) => ({
    nanoseconds: a.vocabulary * (a.temperature === 0 ? COMPARED[p] : 2 * EXPONENTIAL[p]),
  }),
  shared: true,
})

const pooling = defineArgs({
  batch: 'i32',
  positions: 'i32',
  dim: 'i32',
  pooling: oneOf('mean', 'cls', 'last'),
  normalised: 'flag',
})

/** y[b] = the mean of the rows that are real, the first, or the last real one; divided by its length where it is `normalised`. Unit = b. */
export const poolRows = family.define('poolRows', {
  tensors: { x: 'in', real: 'in:int32', y: 'out' },
  args: pooling,
  units: a => a.batch,
  cost: (a, { units, precision: p }) => ({
    flops: units * a.positions * a.dim,
    nanoseconds: units * a.positions * (ROW[p] + a.dim * SUMMED[p]),
  }),
  shared: true,
})

/** Differentiates poolRows. Unit = b. */
export const poolBackward = family.define('poolBackward', {
  tensors: { x: 'in', real: 'in:int32', gradY: 'in', gradX: 'out' },
  args: pooling,
  units: a => a.batch,
  cost: (a, { units, precision: p }) => ({
    flops: 3 * units * a.positions * a.dim,
    nanoseconds: units * a.positions * (ROW[p] + 2 * a.dim * SUMMED[p]),
  }),
  shared: true,
})

/** values[r] = Σ_d a[r, d]·b[r, d]. Unit = row. */
export const rowDots = family.define('rowDots', {
  tensors: { a: 'in', b: 'in', values: 'out:reals' },
  args: { rows: 'i32', dim: 'i32' },
  units: a => a.rows,
  cost: (a, { units, precision: p }) => ({
    flops: 2 * units * a.dim,
    nanoseconds: units * (ROW[p] + a.dim * SUMMED[p]),
  }),
  shared: true,
})

/**
 * y [batch, positions]: what each row of x owes to the way from 0 to x, at points of which gradients [points, batch, positions, dim] and
 * values [points, batch] are known. Unit = batch element. See kernel.ts.
 */
export const pathSums = family.define('pathSums', {
  tensors: { x: 'in', grad: 'in', values: 'in:float64', places: 'in:float64', y: 'out' },
  args: { batch: 'i32', positions: 'i32', dim: 'i32', points: 'i32' },
  units: a => a.batch,
  cost: (a, { units, precision: p }) => {
    const rows = units * a.points * a.positions
    return { flops: 2 * rows * a.dim, nanoseconds: rows * (ROW[p] + a.dim * SUMMED[p]) }
  },
  shared: true,
})

export type EmbedArgs = Args<typeof embedTokens>
export type EmbedTensors = Tensors<typeof embedTokens>
export type EmbedBackwardArgs = Args<typeof embedBackward>
export type JoinArgs = Args<typeof joinWeights>
export type PoolingArgs = Args<typeof poolRows>
