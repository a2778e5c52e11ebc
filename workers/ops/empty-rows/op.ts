/**
 * Rows that attend to nothing as other libraries have them: NaN, or the same weight for every key. A row is empty where its
 * denominator is 0 and it is no padding. Heads come before positions.
 */
import { type Args, data, defineFamily, oneOf, price, type Tensors } from '../define-op.ts'

const COPIED = price(0.5)
const ADDED = price(1)
const ROW = price(4)

const family = defineFamily('empty-rows')

/** y = x, but in empty rows NaN, a number, or the mean of the values of all keys. y may be x itself. Unit = row. */
export const writeEmptyRows = family.define('writeEmptyRows', {
  tensors: {
    /** [batch, heads, queries, dim] */
    x: 'in',
    /** [batch, heads, queries, 2] */
    denominator: 'in:float64',
    /** [batch, kvHeads, keys, dim], for `mean` */
    v: 'in?',
    /** [batch]: rows from there on are padding */
    qLengths: 'in?:int32',
    y: 'out',
  },
  args: {
    batch: 'i32',
    heads: 'i32',
    kvHeads: 'i32',
    queries: 'i32',
    keys: 'i32',
    dim: 'i32',
    by: oneOf('nan', 'value', 'mean'),
    value: 'f64',
  },
  units: a => a.batch * a.heads * a.queries,
  cost: (a, { units, precision: p }) => {
    const values = a.by === 'mean' ? a.batch * a.kvHeads * a.keys * a.dim : 0
    return { flops: values, nanoseconds: units * (ROW[p] + a.dim * COPIED[p]) + values * ADDED[p] }
  },
  shared: true,
})

/**
 * What empty rows leave in the gradient of keys or values: y = x, but of a kv head that has an empty row all NaN, or with the
 * mean share of what reaches those rows. y may be x itself. Unit = kv head of a batch element.
 */
export const emptyRowsToKeys = family.define('emptyRowsToKeys', {
  tensors: {
    /** [batch, kvHeads, keys, dim] */
    x: 'in',
    denominator: 'in:float64',
    /** [batch, heads, queries, dim], for `share` */
    gradOutput: 'in?',
    qLengths: 'in?:int32',
    y: 'out',
  },
  args: {
    batch: 'i32',
    heads: 'i32',
    kvHeads: 'i32',
    queries: 'i32',
    keys: 'i32',
    dim: 'i32',
    by: oneOf('nan', 'share'),
  },
  units: a => a.batch * a.kvHeads,
  cost: (a, { units, precision: p }) => {
    const elements = units * a.keys * a.dim
    const rows = a.batch * a.heads * a.queries
    return { flops: elements, nanoseconds: elements * COPIED[p] + rows * (ROW[p] + a.dim * ADDED[p]) }
  },
  shared: true,
})

/** The gradient of a mask, NaN wherever an empty row has its elements. y may be x itself. One unit. */
export const emptyRowsToMask = family.define('emptyRowsToMask', {
  tensors: {
    /** [count], in the mask's shape */
    x: 'in',
    denominator: 'in:float64',
    qLengths: 'in?:int32',
    y: 'out',
  },
  args: {
    batch: 'i32',
    heads: 'i32',
    queries: 'i32',
    keys: 'i32',
    count: 'i32',
    /** elements between neighbours along [batch, heads, queries, keys] */
    maskStrides: data<[number, number, number, number]>(),
  },
  units: () => 1,
  cost: (a, { precision: p }) => ({
    nanoseconds: a.batch * a.heads * a.queries * (ROW[p] + a.keys * COPIED[p]) + a.count * COPIED[p],
  }),
  shared: true,
})

/** y = the mean over the heads of x [batch, heads, width]: y [batch, width]. Unit = batch element. */
export const headMeans = family.define('headMeans', {
  tensors: { x: 'in', y: 'out' },
  args: { batch: 'i32', heads: 'i32', width: 'i32' },
  units: a => a.batch,
  cost: (a, { precision: p }) => {
    const elements = a.batch * a.heads * a.width
    return { flops: elements, nanoseconds: elements * ADDED[p] }
  },
  shared: true,
})

export type WriteTensors = Tensors<typeof writeEmptyRows>
export type WriteArgs = Args<typeof writeEmptyRows>
export type ToKeysTensors = Tensors<typeof emptyRowsToKeys>
export type ToKeysArgs = Args<typeof emptyRowsToKeys>
export type ToMaskTensors = Tensors<typeof emptyRowsToMask>
export type ToMaskArgs = Args<typeof emptyRowsToMask>
export type HeadMeansTensors = Tensors<typeof headMeans>
export type HeadMeansArgs = Args<typeof headMeans>
