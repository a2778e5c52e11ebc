/**
 * How far a candidate is from the truth, and how far it may be. A tensor is seen as [batch, heads, rows, dim], its axes at any strides
 * but the last; a tensor without heads has one.
 */
import { type Args, defineArgs, defineFamily, oneOf, price, type Tensors } from '../define-op.ts'
import { ELEMENT_BLOCK } from '../element-block.ts'

const ROUNDED = price(6)
const FIGURES = price(25)
const COMPARED = price(4)
const SUMMED = price(5)

const family = defineFamily('compare')

const DTYPES = oneOf('float32', 'float16', 'bfloat16', 'float8_e4m3')

/** Rounds x to a dtype; y may be x itself. Unit = ELEMENT_BLOCK elements. */
export const roundElements = family.define('roundElements', {
  tensors: { x: 'in:reals', y: 'out:reals' },
  args: { count: 'i32', dtype: DTYPES },
  units: a => Math.ceil(a.count / ELEMENT_BLOCK),
  cost: (a, { precision: p }) => ({ nanoseconds: a.count * ROUNDED[p] }),
  shared: true,
})

const layout = defineArgs({
  batch: 'i32',
  heads: 'i32',
  rows: 'i32',
  dim: 'i32',
  /** elements between neighbours along [batch, heads, rows] */
  batchStride: 'f64',
  headStride: 'f64',
  rowStride: 'f64',
})

/** Numbers a head of `figures`: see kernel.ts. */
export const FIGURE_COUNT = 12
/** Numbers a head of `found`: mismatches, in which rows and columns they are; then of each of the worst elements. */
export const FOUND_COUNT = 6
export const WORST_COUNT = 4

/** Unit = one (batch, head). */
export const compareFigures = family.define('compareFigures', {
  tensors: {
    candidate: 'in:float64',
    truth: 'in:reals',
    baseline: 'in:reals',
    /** [batch, heads, FIGURE_COUNT] */
    figures: 'out:float64',
  },
  args: { ...layout, dtype: DTYPES },
  units: a => a.batch * a.heads,
  cost: (a, { units, precision: p }) => {
    const elements = units * a.rows * a.dim
    return { flops: 12 * elements, nanoseconds: elements * FIGURES[p] }
  },
  shared: true,
})

/** allowed [1] = factor·max|baseline − truth| + eps·max|truth|. One unit. */
export const compareAllowed = family.define('compareAllowed', {
  tensors: { figures: 'in:float64', allowed: 'out:float64' },
  args: { heads: 'i32', factor: 'f64', eps: 'f64' },
  units: () => 1,
  cost: (a, { precision: p }) => ({ flops: 2 * a.heads, nanoseconds: a.heads * SUMMED[p] }),
  shared: true,
})

/** Unit = one (batch, head). */
export const compareElements = family.define('compareElements', {
  tensors: {
    candidate: 'in:float64',
    truth: 'in:reals',
    /** [1]; without it the rule is a tolerance */
    allowed: 'in?:float64',
    /** [batch, heads, FOUND_COUNT + WORST_COUNT·top] */
    found: 'out:float64',
    /** [batch, heads, mapRows, mapColumns] */
    errorMap: 'out?:float64',
  },
  args: { ...layout, rtol: 'f64', atol: 'f64', top: 'i32', mapRows: 'i32', mapColumns: 'i32' },
  units: a => a.batch * a.heads,
  cost: (a, { units, precision: p }) => {
    const elements = units * a.rows * a.dim
    return { flops: 3 * elements, nanoseconds: elements * COMPARED[p] }
  },
  shared: true,
})

/** figures [4] of rows of scores, as plainForward gives their extremes: see kernel.ts. One unit. */
export const rowConditioning = family.define('rowConditioning', {
  tensors: { extremes: 'in:float64', figures: 'out:float64' },
  args: { rows: 'i32', eps: 'f64' },
  units: () => 1,
  cost: (a, { precision: p }) => ({ flops: 4 * a.rows, nanoseconds: a.rows * SUMMED[p] }),
  shared: true,
})

/** y = factor·x + share·z, z [count/period] one for every `period` elements; y may be x itself. Unit = ELEMENT_BLOCK elements. */
export const combineElements = family.define('combineElements', {
  tensors: { x: 'in:reals', z: 'in?:reals', y: 'out:reals' },
  args: { count: 'i32', factor: 'f64', share: 'f64', period: 'i32', stride: 'i32' },
  units: a => Math.ceil(a.count / ELEMENT_BLOCK),
  cost: (a, { precision: p }) => ({ flops: 3 * a.count, nanoseconds: a.count * COMPARED[p] }),
  shared: true,
})

/** terms[row] = (given, or 0) − Σ_d a·b, of rows that attend to something: what takes delta out of a backward pass. Unit = row. */
export const withoutDelta = family.define('withoutDelta', {
  tensors: { a: 'in', b: 'in', denominator: 'in:float64', given: 'in?:float64', terms: 'out:float64' },
  args: { rows: 'i32', dim: 'i32' },
  units: a => a.rows,
  cost: (a, { units, precision: p }) => ({
    flops: 2 * units * a.dim,
    nanoseconds: units * a.dim * COMPARED[p],
  }),
  shared: true,
})

/**
 * Rows of x that attend to nothing as others write them: NaN, or the mean of all values. x, y [batch, heads, queries, dim],
 * v [batch, kvHeads, keys, dim]. Unit = row.
 */
export const fillEmptyRows = family.define('fillEmptyRows', {
  tensors: { x: 'in', v: 'in', denominator: 'in:float64', y: 'out' },
  args: {
    heads: 'i32',
    kvHeads: 'i32',
    rows: 'i32',
    queries: 'i32',
    keys: 'i32',
    dim: 'i32',
    by: oneOf('nan', 'mean'),
  },
  units: a => a.rows,
  cost: (a, { units, precision: p }) => ({ nanoseconds: units * a.dim * (1 + a.keys / 16) * COMPARED[p] }),
  shared: true,
})

/** y = 1 where x = 0, else 0. Unit = ELEMENT_BLOCK elements. */
export const invertMask = family.define('invertMask', {
  tensors: { x: 'in:uint8', y: 'out:uint8' },
  args: { count: 'i32' },
  units: a => Math.ceil(a.count / ELEMENT_BLOCK),
  cost: (a, { precision: p }) => ({ nanoseconds: a.count * COMPARED[p] }),
  shared: true,
})

/** y = x [rows, 2], intervals of keys, their ends moved by lo and hi; none leaves [0, keys]. Unit = ELEMENT_BLOCK rows. */
export const moveIntervals = family.define('moveIntervals', {
  tensors: { x: 'in:int32', y: 'out:int32' },
  args: { rows: 'i32', keys: 'i32', lo: 'i32', hi: 'i32' },
  units: a => Math.ceil(a.rows / ELEMENT_BLOCK),
  cost: (a, { precision: p }) => ({ nanoseconds: a.rows * COMPARED[p] }),
  shared: true,
})

/** y [heads, width] = x where head mod group = kept, else 0. Unit = a head. */
export const keepMembers = family.define('keepMembers', {
  tensors: { x: 'in', y: 'out' },
  args: { heads: 'i32', width: 'i32', group: 'i32', kept: 'i32' },
  units: a => a.heads,
  cost: (a, { units, precision: p }) => ({ nanoseconds: units * a.width * COMPARED[p] }),
  shared: true,
})

export type MoveTensors = Tensors<typeof moveIntervals>
export type MoveArgs = Args<typeof moveIntervals>
export type KeepTensors = Tensors<typeof keepMembers>
export type KeepArgs = Args<typeof keepMembers>
export type RoundTensors = Tensors<typeof roundElements>
export type RoundArgs = Args<typeof roundElements>
export type FiguresTensors = Tensors<typeof compareFigures>
export type FiguresArgs = Args<typeof compareFigures>
export type AllowedTensors = Tensors<typeof compareAllowed>
export type AllowedArgs = Args<typeof compareAllowed>
export type ElementsTensors = Tensors<typeof compareElements>
export type ElementsArgs = Args<typeof compareElements>
export type ConditioningTensors = Tensors<typeof rowConditioning>
export type ConditioningArgs = Args<typeof rowConditioning>
export type CombineTensors = Tensors<typeof combineElements>
export type CombineArgs = Args<typeof combineElements>
export type DeltaTensors = Tensors<typeof withoutDelta>
export type DeltaArgs = Args<typeof withoutDelta>
export type EmptyRowsTensors = Tensors<typeof fillEmptyRows>
export type EmptyRowsArgs = Args<typeof fillEmptyRows>
export type InvertTensors = Tensors<typeof invertMask>
