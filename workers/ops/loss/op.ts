/** The squared error against a target, and the whole loss with its entropy term. */
import { defineFamily, price } from '../define-op.ts'
import { starts } from '../packed-rows.ts'

const SQUARE_FLOPS = 4
const SUM_FLOPS = 2

const SQUARED = price(1.3, 2.7)
const SUMMED = price(5)
const ROW = price(20)
const WEIGHED = price(1.5)

const family = defineFamily('loss')

/**
 * L = factor·Σ (o − t)² over the rows that are no padding; factor = 1, or 1/count for the mean. partials[unit] is the
 * unit's share, gradOutput = 2·factor·(o − t), 0 in padding rows. Sums in float64. Unit = one (batch, head).
 */
export const squaredErrorLoss = family.define('squaredErrorLoss', {
  tensors: {
    output: 'in',
    target: 'in',
    qLengths: 'in?:int32',
    gradOutput: 'out',
    partials: 'out:float64',
  },
  args: {
    batch: 'i32',
    heads: 'i32',
    queries: 'i32',
    dimV: 'i32',
    factor: 'f64',
    /** output, target and gradient are [batch, queries, heads, dimV] */
    positionsFirst: 'flag?',
  },
  units: a => a.batch * a.heads,
  cost: (a, { units, precision: p }) => {
    const elements = units * a.queries * a.dimV
    return { flops: elements * SQUARE_FLOPS, nanoseconds: elements * SQUARED[p] }
  },
  shared: true,
})

/**
 * scalars[0] = Σ partials + entropyWeight·(mean entropy), scalars[1] = entropyWeight/R, R being the number of rows that
 * attend to something (logsumexp ≠ −∞); both terms 0 where R = 0. One unit.
 */
export const lossTotal = family.define('lossTotal', {
  tensors: {
    partials: 'in?:float64',
    entropy: 'in?',
    logsumexp: 'in?:float64',
    scalars: 'out:float64',
  },
  args: {
    /** partial losses that there may be, for the cost */
    partials: 'i32',
    /** rows with an entropy */
    rows: 'i32',
    entropyWeight: 'f64',
  },
  units: () => 1,
  cost: (a, { precision: p }) => {
    const summed = a.partials + a.rows
    return { flops: summed * SUM_FLOPS, nanoseconds: summed * SUMMED[p] }
  },
  shared: true,
})

/**
 * terms = Σ_j weights·gradWeights − gradLogsumexp: what the loss's own terms in the weights and in logsumexp take off the gradient of
 * every score of a row, its weight apart. 0 in padding rows. Unit = row of [batch, heads, queries].
 */
export const rowTerms = family.define('rowTerms', {
  tensors: {
    ...starts,
    /** [batch, heads, queries, keys], both or none; the gradient is not read where the weight is 0 */
    weights: 'in?',
    gradWeights: 'in?',
    /** [batch, heads, queries] */
    gradLogsumexp: 'in?',
    qLengths: 'in?:int32',
    terms: 'out:float64',
  },
  args: { batch: 'i32', heads: 'i32', queries: 'i32', keys: 'i32' },
  units: a => a.batch * a.heads * a.queries,
  cost: (a, { units, tensors, precision: p }) => {
    const pairs = tensors.weights === undefined ? 0 : units * a.keys
    return { flops: 2 * pairs + units, nanoseconds: units * ROW[p] + pairs * WEIGHED[p] }
  },
  shared: true,
})
