/** The squared error against a target, and the whole loss with its entropy term. */
import { defineFamily, price } from '../define-op.ts'

const SQUARE_FLOPS = 4
const SUM_FLOPS = 2

const SQUARED = price(1.3, 2.7)
const SUMMED = price(5)

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
  args: { batch: 'i32', heads: 'i32', queries: 'i32', dimV: 'i32', factor: 'f64' },
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
