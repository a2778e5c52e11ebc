/**
 * Attention as an eager program in float32 or a smaller type computes it: the steps of the formula one after the other, products
 * summed in float32 from the first term to the last, and every intermediate result rounded to the dtype. Its distance from float64 is
 * the yardstick for kernels that compute the same otherwise. It is what `attention` is, for the same tensors and arguments.
 */
import { QUERY_TILE } from '../../layout.ts'
import { args as attentionArgs } from '../attention/args.ts'
import { gradientTensors, maps, scoreTensors } from '../attention/tensors.ts'
import { type Args, defineArgs, defineFamily, oneOf, price, type Tensors } from '../define-op.ts'
import { ELEMENT_BLOCK } from '../element-block.ts'

/** A product, and a pair that is attended; neither depends on the precision that a step names: both are float32's. */
const PRODUCT = price(1)
const PAIR = price(40)
/** The same where nothing is done to make it fast. */
const CAPPED_PRODUCT = price(6)
const CAPPED_PAIR = price(120)
/** An element of a map. */
const MAPPED = price(4)

const family = defineFamily('plain-attention')

const args = defineArgs({
  ...attentionArgs,
  dtype: oneOf('float32', 'float16', 'bfloat16', 'float8_e4m3'),
})

const exactTensors = {
  ...scoreTensors,
  v: 'in',
  /** as attentionForward's */
  output: 'out',
  denominator: 'out:float64',
  logsumexp: 'out:float64',
  entropy: 'out?',
  maxima: 'out?',
  ...maps,
} as const

const forwardTensors = {
  ...exactTensors,
  /** [batch, heads, queries, 3]: the largest, the second largest and the smallest masked score of a row; −∞ where there is none */
  extremes: 'out:float64',
} as const

const backwardTensors = {
  ...gradientTensors,
  gradQ: 'out?',
  /** zeros: nothing is summed in parts */
  gradQParts: 'out?',
  gradK: 'out?',
  gradV: 'out?',
} as const

/** Unit = QUERY_TILE query rows of one (batch, head). */
export const plainForward = family.define('plainForward', {
  tensors: forwardTensors,
  args,
  units: a => a.batch * a.heads * Math.ceil(a.queries / QUERY_TILE),
  cost: (a, { area, tensors, precision: p }) => {
    const flops = 2 * a.heads * area * (a.dimK + a.dimV)
    const written = [tensors.scores, tensors.maskedScores, tensors.weights, tensors.droppedWeights]
    const mapped = written.filter(map => map !== undefined).length * a.batch * a.heads * a.queries * a.keys
    return { flops, nanoseconds: (flops / 2) * PRODUCT[p] + a.heads * area * PAIR[p] + mapped * MAPPED[p] }
  },
  shared: true,
})

/** Unit = one (batch, kv head), with all query heads of its group. */
export const plainBackward = family.define('plainBackward', {
  tensors: backwardTensors,
  args: { ...args, sums: 'i32' },
  units: a => a.batch * a.kvHeads,
  cost: (a, { area, tensors, precision: p }) => {
    const products =
      (tensors.gradV === undefined ? 0 : a.dimV) +
      (tensors.gradK === undefined ? 0 : a.dimK) +
      (tensors.gradQ === undefined ? 0 : a.dimK)
    const flops = 2 * a.heads * area * (a.dimK + a.dimV + products)
    return { flops, nanoseconds: (flops / 2) * PRODUCT[p] + a.heads * area * PAIR[p] }
  },
  shared: true,
})

/** Types that emulation knows; `exact`: nothing is rounded. */
const EMULATED = oneOf('exact', 'float32', 'float16', 'bfloat16', 'float8_e4m3', 'float8_e5m2')

const CAST = price(12)
/** A product whose sum is rounded by a call. */
const ROUNDED_PRODUCT = price(6)

/** y = x, rounded to a type; y may be x itself. Unit = ELEMENT_BLOCK elements. */
export const castElements = family.define('castElements', {
  tensors: { x: 'in', y: 'out' },
  args: { count: 'i32', dtype: EMULATED },
  units: a => Math.ceil(a.count / ELEMENT_BLOCK),
  cost: (a, { precision: p }) => ({ nanoseconds: a.count * CAST[p] }),
  shared: true,
})

/** attentionForward with a rounding a stage: see emulate.ts. Unit = QUERY_TILE query rows of one (batch, head). */
export const emulatedForward = family.define('emulatedForward', {
  tensors: {
    ...scoreTensors,
    v: 'in',
    /** as attentionForward's */
    output: 'out',
    denominator: 'out:float64',
    logsumexp: 'out:float64',
    entropy: 'out?',
    maxima: 'out?',
    ...maps,
  },
  args: {
    ...attentionArgs,
    ofScores: EMULATED,
    ofWeights: EMULATED,
    ofSums: EMULATED,
    ofOutput: EMULATED,
  },
  units: a => a.batch * a.heads * Math.ceil(a.queries / QUERY_TILE),
  cost: (a, { area, tensors, precision: p }) => {
    const flops = 2 * a.heads * area * (a.dimK + a.dimV)
    const pairs = a.batch * a.heads * a.queries * a.keys
    const written = [tensors.maskedScores, tensors.weights, tensors.droppedWeights]
    const mapped = written.filter(map => map !== undefined).length * pairs
    const scored = tensors.scores === undefined ? 0 : pairs * a.dimK
    const products = (flops / 2 + scored) * ROUNDED_PRODUCT[p]
    return { flops, nanoseconds: products + a.heads * area * PAIR[p] + mapped * MAPPED[p] }
  },
  shared: true,
})

/** attentionForward in float64, faster than its reference: see exact.ts. Units as plainForward's. */
export const exactForward = family.define('exactForward', {
  tensors: exactTensors,
  args: attentionArgs,
  units: a => a.batch * a.heads * Math.ceil(a.queries / QUERY_TILE),
  cost: (a, { area, tensors, precision: p }) => {
    const flops = 2 * a.heads * area * (a.dimK + a.dimV)
    const written = [tensors.scores, tensors.maskedScores, tensors.weights, tensors.droppedWeights]
    const mapped = written.filter(map => map !== undefined).length * a.batch * a.heads * a.queries * a.keys
    return { flops, nanoseconds: (flops / 2) * PRODUCT[p] + a.heads * area * PAIR[p] + mapped * MAPPED[p] }
  },
  shared: true,
})

/** Units as plainBackward's. */
export const exactBackward = family.define('exactBackward', {
  tensors: backwardTensors,
  args: { ...attentionArgs, sums: 'i32' },
  units: a => a.batch * a.kvHeads,
  cost: (a, { area, precision: p }) => {
    const flops = 2 * a.heads * area * (3 * a.dimK + 2 * a.dimV)
    return { flops, nanoseconds: (flops / 2) * PRODUCT[p] + a.heads * area * PAIR[p] }
  },
  shared: true,
})

export type ExactArgs = Args<typeof exactForward>
export type ExactForwardTensors = Tensors<typeof exactForward>
export type ExactBackwardArgs = Args<typeof exactBackward>
export type ExactBackwardTensors = Tensors<typeof exactBackward>

const cappedArgs = defineArgs({
  ...attentionArgs,
  dtype: oneOf('exact', 'float32', 'float16', 'bfloat16', 'float8_e4m3'),
})

/** Attention with its softcap behind the masks, so that every pair is attended: see capped-last.ts. Units as plainForward's. */
export const cappedForward = family.define('cappedForward', {
  tensors: forwardTensors,
  args: cappedArgs,
  units: a => a.batch * a.heads * Math.ceil(a.queries / QUERY_TILE),
  cost: (a, { precision: p }) => {
    const pairs = a.batch * a.heads * a.queries * a.keys
    const products = pairs * (a.dimK + a.dimV)
    return { flops: 2 * products, nanoseconds: products * CAPPED_PRODUCT[p] + pairs * CAPPED_PAIR[p] }
  },
  shared: true,
})

/** Units as plainBackward's. */
export const cappedBackward = family.define('cappedBackward', {
  tensors: backwardTensors,
  args: { ...cappedArgs, sums: 'i32' },
  units: a => a.batch * a.kvHeads,
  cost: (a, { precision: p }) => {
    const pairs = a.batch * a.heads * a.queries * a.keys
    const products = pairs * (3 * a.dimK + 2 * a.dimV)
    return { flops: 2 * products, nanoseconds: products * CAPPED_PRODUCT[p] + pairs * CAPPED_PAIR[p] }
  },
  shared: true,
})

export type CappedArgs = Args<typeof cappedForward>
export type CappedForwardTensors = Tensors<typeof cappedForward>
export type CappedBackwardArgs = Args<typeof cappedBackward>
export type CappedBackwardTensors = Tensors<typeof cappedBackward>
export type PlainArgs = Args<typeof plainForward>
export type PlainForwardTensors = Tensors<typeof plainForward>
export type PlainBackwardArgs = Args<typeof plainBackward>
export type PlainBackwardTensors = Tensors<typeof plainBackward>
export type CastArgs = Args<typeof castElements>
export type CastTensors = Tensors<typeof castElements>
export type EmulatedArgs = Args<typeof emulatedForward>
export type EmulatedTensors = Tensors<typeof emulatedForward>
