/**
 * Linear attention. φ(x) = elu(x) + 1 = x + 1 for x > 0, eˣ otherwise.
 *
 *   output_i = Σ_j (φ(q_i)·φ(k_j)) v_j / Σ_j φ(q_i)·φ(k_j)      over the keys j that row i attends to
 *            = φ(q_i)ᵀS_i / φ(q_i)ᵀz_i,   S_i = Σ_j φ(k_j)v_jᵀ,   z_i = Σ_j φ(k_j)
 *
 * so that no pair of positions need be looked at: S and z are summed chunk by chunk, and only within the chunk in which
 * a row's keys end (causal) are pairs formed. All of it is O((N + M)·d_k·d_v).
 *
 * φ(q)·φ(k) may lie anywhere between e^−∞ and 10⁷⁶, and cancels but for its share in a row's sum. So states keep a scale m for each
 * dimension, and rows one of their own, A, as logarithms (l = ln φ):
 *
 *   S_d = Σ_j exp(l(k_jd) − m_d)·v_jᵀ      f_d = exp(l(q_d) + m_d − A)      output = Σ_d f_d·S_d/Σ_d f_d·z_d
 *
 * Where logarithms are no larger than `PLAIN_LOG`, m and A are 0, and all is as if there were none.
 */
import { KEY_BLOCK, QUERY_TILE, TILE_COLUMNS, TILE_GROUP, WIDEST_PANEL } from '../../layout.ts'
import type { Precision } from '../../step-types.ts'
import { type ArgsOf, data, defineArgs, defineFamily, oneOf, price, type StepContext } from '../define-op.ts'

/** Positions of one unit: keys of one state, query rows of one part of the output. A tile of scores holds them. */
export const LINEAR_CHUNK = 96

/** Of float32: features and sums of products of them between e^±PLAIN_LOG and e^±2·PLAIN_LOG have no scale. */
export const PLAIN_LOG = 20
/** The same of float64. */
export const PLAIN_LOG_64 = 150

/** Rough operations a feature takes. */
const FEATURE_FLOPS = 8

const ROW = price(30, 400)
const FEATURE = price(2, 40)
const PRODUCT = price(0.019, 1.5)
/** A pair of positions of one chunk, without and with its products: the reference computes features for each. */
const PAIR = price(0.5, 50)
const PAIR_PRODUCT = price(0.012, 24)
/** An element of a state that is prepared for a chunk, or added. */
const STATE = price(0.5, 0)
const ADDED = price(2.3)
const DELTA = price(0.2, 2)
const DELTA_ROW = price(25, 8)

const family = defineFamily('linear-attention')

/**
 * q [batch, heads, queries, dimK], k [batch, kvHeads, keys, dimK], v [batch, kvHeads, keys, dimV]. Query head h reads kv head
 * ⌊h·kvHeads/heads⌋. Of the masks only those whose intervals begin at key 0; they are the same for all heads.
 */
const args = defineArgs({
  batch: 'i32',
  heads: 'i32',
  kvHeads: 'i32',
  queries: 'i32',
  keys: 'i32',
  dimK: 'i32',
  dimV: 'i32',
  /** rows between the intervals of neighbours along [batch, heads]; 0 where they share them */
  intervalStrides: data<[number, number]>(),
  /** rows attend to different numbers of keys: states are summed up to every chunk, not over all of them */
  causal: 'flag',
  /** an input holds NaN or ±∞: pairs that are not attended must not even be multiplied by 0 */
  nonFinite: 'flag?',
})

/** States are sums over chunks of keys (forward) or of queries (backward). */
const stateArgs = defineArgs({ ...args, side: oneOf('keys', 'queries') })

export type LinearAttentionArgs = ArgsOf<typeof args>
export type LinearStateArgs = ArgsOf<typeof stateArgs>

type Dims = Pick<LinearAttentionArgs, 'dimK' | 'dimV'>

/** How many chunks the positions are. */
export function linearChunks(positions: number): number {
  return Math.ceil(positions / LINEAR_CHUNK)
}

/** Elements of one state: S [dimK, dimV], z [dimK], then the scales m [dimK], −∞ where nothing was summed. */
export function stateLength({ dimK, dimV }: Dims): number {
  return dimK * (dimV + 2)
}

/** Those that take part in products. */
function stateProducts({ dimK, dimV }: Dims): number {
  return dimK * (dimV + 1)
}

/** Sums kept of the states of one kv head: causal, one before every chunk and one after the last; else their total. */
export function stateSums(a: Pick<LinearAttentionArgs, 'causal'>, positions: number): number {
  return a.causal ? linearChunks(positions) + 1 : 1
}

/** The side's heads and positions. */
function sideOf(a: LinearStateArgs): [heads: number, positions: number] {
  return a.side === 'keys' ? [a.kvHeads, a.keys] : [a.heads, a.queries]
}

function chunksOfSide(a: LinearStateArgs): number {
  const [heads, positions] = sideOf(a)
  return a.batch * heads * linearChunks(positions)
}

/** A product with a state a row, and where causal with a chunk of keys. */
function queryCost(a: LinearAttentionArgs, { precision, units }: StepContext) {
  const rows = a.batch * a.heads * a.queries
  const pairs = a.causal ? LINEAR_CHUNK : 0
  return {
    flops: rows * (2 * (stateProducts(a) + pairs * (a.dimK + a.dimV)) + FEATURE_FLOPS * a.dimK),
    nanoseconds: chunksTime(a, { rows, units, pairs: Math.min(pairs, a.queries), times: 1 }, precision),
  }
}

interface Rows {
  rows: number
  units: number
  /** of a row */
  pairs: number
  /** how many results there are */
  times: number
}

/** Rows with their features, and their products with a state and with the rows of a chunk. */
function chunksTime(a: LinearAttentionArgs, { rows, units, pairs, times }: Rows, p: Precision): number {
  const state = stateProducts(a)
  const paired = pairs * (PAIR[p] + (a.dimK + a.dimV) * PAIR_PRODUCT[p])
  return (
    rows * (ROW[p] + a.dimK * FEATURE[p] + times * (state * PRODUCT[p] + paired)) + units * state * STATE[p]
  )
}

const words = {
  intervalBatch: { type: 'i32' as const, of: (a: LinearAttentionArgs) => a.intervalStrides[0] },
  /** the products take their factor from memory */
  one: { type: 'f32' as const, of: () => 1 },
}

/** An area of this many elements of 4 bytes. */
function elements(count: (a: Dims) => number) {
  return (a: Dims) => 4 * count(a)
}

const areas = {
  /** exp(l + m) of the unit's rows, where there are scales [96][dimK] */
  scaledFeatures: elements(({ dimK }) => LINEAR_CHUNK * dimK + TILE_GROUP),
  /** f64 [dimV + dimK]: sums of one row */
  wideSums: elements(({ dimK, dimV }) => 2 * (dimK + dimV)),
  /** φ of the unit's rows, and of a block of the others [96][dimK] */
  features: elements(({ dimK }) => LINEAR_CHUNK * dimK + TILE_GROUP),
  otherFeatures: elements(({ dimK }) => LINEAR_CHUNK * dimK),
  /** rows of dimV elements and one more [96][dimV + 1] */
  extended: elements(({ dimV }) => LINEAR_CHUNK * (dimV + 1)),
  otherExtended: elements(({ dimV }) => LINEAR_CHUNK * (dimV + 1)),
  /** Sᵀ, and z as its last row [dimV + 1][dimK] */
  stateTransposed: elements(({ dimK, dimV }) => (dimV + 1) * dimK),
  /** the unit's rows transposed, by tiles [4][dimK][24], [4][dimV + 1][24] */
  featurePack: elements(({ dimK }) => LINEAR_CHUNK * dimK),
  extendedPack: elements(({ dimV }) => LINEAR_CHUNK * (dimV + 1)),
  /** a block's rows in panels [96/NR][dimK or dimV + 1][NR] */
  columnPack: elements(({ dimK, dimV }) => KEY_BLOCK * Math.max(dimK, dimV + 1)),
  /** the last, incomplete panel of a state [dimK or dimV + 1][NR] and of a block [96][NR] */
  stateEdge: elements(({ dimK, dimV }) => Math.max(dimK, dimV + 1) * WIDEST_PANEL),
  blockEdge: elements(() => LINEAR_CHUNK * WIDEST_PANEL),
  /** [24][144]: φ(q)·φ(k), or the gradient of it */
  tile: elements(() => QUERY_TILE * TILE_COLUMNS),
  /** i32 [96] each: how many keys a row attends to; the columns [rowFrom, rowTo) of a block that it pairs with */
  counts: elements(() => LINEAR_CHUNK),
  rowFrom: elements(() => LINEAR_CHUNK),
  rowTo: elements(() => LINEAR_CHUNK),
  /** f32 [96] */
  rowSums: elements(() => LINEAR_CHUNK),
  /** i32 [4][2]: the columns that a group of six rows needs */
  ranges: elements(() => (QUERY_TILE / TILE_GROUP) * 2),
  /** [6][NR] where a product meets the edge of its result */
  spare: elements(() => TILE_GROUP * WIDEST_PANEL),
}

/**
 * states [batch, heads of the side, chunks, stateLength]: S = Σ φ(x_r)·y_rᵀ [dimK, dimV] and z = Σ φ(x_r)·w_r [dimK], scaled,
 * over the rows of one chunk that are no padding. Keys: x = k, y = v, w = 1. Queries: x = q, y = scaled, w =
 * gradNormaliser, over the rows that attend to something, their φ divided by e^A. Unit = one chunk.
 */
export const linearStates = family.define('linearStates', {
  tensors: {
    x: 'in',
    y: 'in',
    w: 'in?',
    /** of queries: A, from `linearAttentionForward` */
    rowScale: 'in?',
    /** [batch or 1, queries, 2]: the keys [0, to) that a row attends to; [keys, keys) of padding rows. Without it all keys */
    intervals: 'in?:int32',
    states: 'out',
  },
  args: stateArgs,
  units: chunksOfSide,
  cost: (a, { precision: p, units }) => {
    const [heads, positions] = sideOf(a)
    const rows = a.batch * heads * positions
    return {
      flops: rows * (2 * stateProducts(a) + FEATURE_FLOPS * a.dimK),
      nanoseconds: chunksTime(a, { rows, units, pairs: 0, times: 1 }, p),
    }
  },
  words,
  areas,
})

/**
 * sums [batch, kvHeads, stateSums, stateLength]. Keys, causal: sums[c] = Σ of the states before chunk c. Queries, causal:
 * sums[c] = Σ of the states from chunk c on, over all heads of the group. Not causal: the total. In float64.
 * initial, final [batch, kvHeads, stateLength], of keys: what the sums begin with, and what they are behind the last whole chunk.
 * Unit = one (batch, kv head).
 */
export const linearStateSums = family.define('linearStateSums', {
  tensors: { states: 'in', initial: 'in?:float64', sums: 'out?', final: 'out?:float64' },
  args: stateArgs,
  units: a => a.batch * a.kvHeads,
  cost: (a, { units, precision: p }) => {
    const additions = units === 0 ? 0 : chunksOfSide(a) * stateProducts(a)
    return { flops: additions, nanoseconds: additions * ADDED[p] }
  },
  shared: true,
})

/**
 * sums: from `linearStateSums` of the keys. output [batch, heads, queries, dimV], zeros where a row attends to nothing;
 * normaliser [batch, heads, queries] = φ(q)ᵀz/e^A, 0 there; rowScale [batch, heads, queries] = A, exactly 0 where there is none. Unit = LINEAR_CHUNK query rows of one (batch, head).
 */
export const linearAttentionForward = family.define('linearAttentionForward', {
  tensors: {
    q: 'in',
    k: 'in',
    v: 'in',
    intervals: 'in?:int32',
    sums: 'in',
    output: 'out',
    normaliser: 'out',
    rowScale: 'out',
  },
  args,
  units: a => a.batch * a.heads * linearChunks(a.queries),
  cost: queryCost,
  words,
  areas,
})

/** scaled = gradOutput/normaliser, gradNormaliser = −(gradOutput·output)/normaliser. Unit = query row. */
export const linearAttentionDelta = family.define('linearAttentionDelta', {
  tensors: { output: 'in', gradOutput: 'in', normaliser: 'in', scaled: 'out', gradNormaliser: 'out' },
  args,
  units: a => a.batch * a.heads * a.queries,
  cost: (a, { units, precision: p }) => ({
    flops: units * (3 * a.dimV),
    nanoseconds: units * (DELTA_ROW[p] + a.dimV * DELTA[p]),
  }),
  words,
  areas,
})

const backwardTensors = {
  q: 'in',
  k: 'in',
  v: 'in',
  intervals: 'in?:int32',
  /** from `linearAttentionDelta` */
  scaled: 'in',
  gradNormaliser: 'in',
  rowScale: 'in',
  sums: 'in',
} as const

/** sums of the keys' states. Unit = LINEAR_CHUNK query rows of one (batch, head). */
export const linearAttentionBackwardQuery = family.define('linearAttentionBackwardQuery', {
  tensors: { ...backwardTensors, gradQ: 'out' },
  args,
  units: a => a.batch * a.heads * linearChunks(a.queries),
  cost: queryCost,
  words,
  areas,
})

/** sums of the queries' states. Writes gradK, gradV, where given. Unit = LINEAR_CHUNK keys of one (batch, kv head). */
export const linearAttentionBackwardKey = family.define('linearAttentionBackwardKey', {
  tensors: { ...backwardTensors, gradK: 'out?', gradV: 'out?' },
  args,
  units: a => a.batch * a.kvHeads * linearChunks(a.keys),
  cost: (a, { tensors, precision: p, units }) => {
    const pairs = a.causal ? (a.heads / a.kvHeads) * LINEAR_CHUNK : 0
    const products = (tensors.gradK === undefined ? 0 : 1) + (tensors.gradV === undefined ? 0 : 1)
    const perKey = 2 * products * (a.dimK * a.dimV + pairs * (a.dimK + a.dimV)) + FEATURE_FLOPS * a.dimK
    const rows = a.batch * a.kvHeads * a.keys
    const time = chunksTime(a, { rows, units, pairs: Math.min(pairs, a.queries), times: products }, p)
    return { flops: rows * perKey, nanoseconds: time }
  },
  words,
  areas,
})
