/** Sinks: one more logit a query head in the denominator of its rows' softmax, without a value. Xiao et al. 2023; gpt-oss. */
import { defineFamily, price } from '../define-op.ts'
import { starts } from '../packed-rows.ts'

const ROW = price(60)
const ELEMENT = price(1)
const PAIR = price(1.2)

const family = defineFamily('sinks')

/** [batch, heads, queries, keys] each, before the sink and with it; either may be the other itself. */
const maps = {
  weights: 'in?',
  droppedWeights: 'in?',
  sunkWeights: 'out?',
  sunkDroppedWeights: 'out?',
} as const

/**
 * What attention without sinks has given, with them: rows keep their share of the denominator. What is written may be what is
 * read itself. Unit = row of [batch, heads, queries].
 */
export const applySinks = family.define('applySinks', {
  tensors: {
    /** [heads] */
    sinks: 'in',
    /** [batch, heads, queries, dimV], [batch, heads, queries, 2], [batch, heads, queries] */
    output: 'in',
    denominator: 'in:float64',
    entropy: 'in?',
    sunkOutput: 'out',
    sunkDenominator: 'out:float64',
    /** ln of the whole denominator; the sink where a row attends to nothing */
    sunkLogsumexp: 'out:float64',
    sunkEntropy: 'out?',
    ...maps,
    ...starts,
  },
  args: {
    heads: 'i32',
    rows: 'i32',
    queries: 'i32',
    keys: 'i32',
    dimV: 'i32',
    /** the outputs have positions before heads */
    positionsFirst: 'flag?',
  },
  units: a => a.rows,
  cost: (a, { units, tensors, precision: p }) => {
    const elements = units * a.dimV
    const pairs = [tensors.weights, tensors.droppedWeights].filter(map => map !== undefined).length
    const time = units * ROW[p] + elements * ELEMENT[p] + pairs * units * a.keys * PAIR[p]
    return { flops: elements, nanoseconds: time }
  },
  shared: true,
})

/** ∂L/∂sinks [heads]. Unit = head: the sum over its rows of every batch element, or of every sequence, which `batch` then counts. */
export const sinkGradient = family.define('sinkGradient', {
  tensors: {
    sinks: 'in',
    /** those of applySinks */
    output: 'in',
    denominator: 'in:float64',
    entropy: 'in?',
    /** [batch, heads, queries, dimV] = ∂L/∂output */
    gradOutput: 'in',
    /** [2], as in attention's gradients */
    scalars: 'in?:float64',
    rowTerms: 'in?:float64',
    cuQ: starts.cuQ,
    gradSinks: 'out',
  },
  args: {
    batch: 'i32',
    heads: 'i32',
    queries: 'i32',
    dimV: 'i32',
    /** output and its gradient have positions before heads */
    positionsFirst: 'flag?',
  },
  units: a => a.heads,
  cost: (a, { units, precision: p }) => {
    const rows = units * a.batch * a.queries
    const elements = rows * a.dimV
    return { flops: 2 * elements, nanoseconds: rows * ROW[p] + elements * ELEMENT[p] }
  },
  shared: true,
})
