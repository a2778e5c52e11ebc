/**
 * Attention without a softmax, as a recurrence over the keys (ONNX's LinearAttention): a state S [dimK, dimV] a kv head, from
 * which rows read.
 *
 *   S̃_t = diag(a_t)·S_{t−1}      u_t = v_t, or β_t·(v_t − S̃_tᵀk_t)      S_t = S̃_t + k_t·u_tᵀ      o_i = S_tᵀ(scale·q_i)
 *
 * a_t are the factors of the decay (1 without one), u_t with β is the delta rule. Row i reads the state behind the keys that it
 * attends to. Columns of S do not meet: each is a recurrence of its own, and the float32 kernels go through 16 of them together.
 * Time O((N + M)·d_k·d_v).
 *
 * Keys and rows are events in one order: a row comes right behind the last key that it attends to. A unit is RECURRENT_CHUNK events,
 * and the units of a state form a chain. Because the state is kept in the elements' own type between any two events, the bits do
 * not depend on where the sequence is cut: a state that one request answers goes on in the next one.
 *
 * Sources: Schlag, Irie and Schmidhuber 2021 (the delta rule); Yang et al. 2024 (Gated Linear Attention; Gated Delta Networks).
 */
import { type ArgsOf, data, defineArgs, defineFamily, price, type StepContext } from '../define-op.ts'

/** Keys and rows of one unit. */
export const RECURRENT_CHUNK = 128
/** Columns of a state that are gone through together. */
export const STATE_COLUMNS = 16

/** A key or row of a block of columns. */
const KEY = price(15, 50)
/** An operation on an element of a state. */
const ELEMENT = price(0.034, 2.4)
const FACTOR = price(5)
const SUMMED = price(1.5)

const family = defineFamily('recurrent-attention')

/**
 * q [batch, heads, queries, dimK], k [batch, kvHeads, keys, dimK], v [batch, kvHeads, keys, dimV]. Query head h reads the state of kv
 * head ⌊h·kvHeads/heads⌋.
 */
const args = defineArgs({
  batch: 'i32',
  heads: 'i32',
  kvHeads: 'i32',
  queries: 'i32',
  keys: 'i32',
  dimK: 'i32',
  dimV: 'i32',
  scale: 'f32',
  /** rows between the intervals of neighbours along [batch, heads]; 0 where they share them */
  intervalStrides: data<[number, number]>(),
  /** last extent of the factors, a kv head: 1 or dimK; 0 without any */
  decayDims: 'i32',
  /** last extent of beta: kvHeads or 1; 0 without one, and then there is no delta rule */
  betaHeads: 'i32',
  /** an input holds NaN or ±∞: columns that are none must stay zeros */
  nonFinite: 'flag?',
})

export type RecurrentArgs = ArgsOf<typeof args>

/** Units of a state. */
export function recurrentChunks({ queries, keys }: Pick<RecurrentArgs, 'queries' | 'keys'>): number {
  return Math.max(1, Math.ceil((queries + keys) / RECURRENT_CHUNK))
}

/** Blocks of columns of a state. */
export function columnBlocks({ dimV }: Pick<RecurrentArgs, 'dimV'>): number {
  return Math.ceil(dimV / STATE_COLUMNS)
}

/** Operations on an element of the state that a key takes, and a row. */
function operations(a: RecurrentArgs, perKey: number, perRow: number) {
  const elements = a.dimK * a.dimV
  return a.batch * elements * (a.kvHeads * a.keys * perKey + a.heads * a.queries * perRow)
}

function cost(a: RecurrentArgs, perKey: number, perRow: number, { precision: p }: StepContext) {
  const flops = operations(a, perKey, perRow)
  const events = a.batch * (a.kvHeads * a.keys + a.heads * a.queries) * columnBlocks(a)
  return { flops, nanoseconds: events * KEY[p] + flops * ELEMENT[p] }
}

/** Of the recurrence alone. */
function stepOperations({ decayDims, betaHeads }: RecurrentArgs) {
  return 2 + (decayDims > 0 ? 1 : 0) + (betaHeads > 0 ? 2 : 0)
}

const words = {
  intervalBatch: { type: 'i32' as const, of: (a: RecurrentArgs) => a.intervalStrides[0] },
  /** the factor where there is no decay, in memory like the others */
  one: { type: 'f32' as const, of: () => 1 },
}

/** Bytes of a row of columns, and of a block of a state. */
const ROW_BYTES = 4 * STATE_COLUMNS
const blockBytes = ({ dimK }: Pick<RecurrentArgs, 'dimK'>) => dimK * ROW_BYTES

const areas = {
  /** [dimK][16]: the state */
  block: blockBytes,
  /** [16]: rows of a value and of an output */
  value: () => ROW_BYTES,
  result: () => ROW_BYTES,
}

const inputs = {
  k: 'in',
  v: 'in',
  /** e^decay [batch, keys, kvHeads, decayDims], from `decayFactors` */
  factors: 'in?',
  /** [batch, keys, betaHeads] */
  beta: 'in?',
  /** [batch or 1, queries, 2]: the keys [0, to) that a row attends to, `to` never falling. Without it all keys */
  intervals: 'in?:int32',
  /** [batch]: rows and keys from there on are padding */
  qLengths: 'in?:int32',
  kvLengths: 'in?:int32',
  /** [batch, kvHeads, dimK, dimV]: the state before the first key; zeros without it */
  initial: 'in?',
} as const

/** factors = e^decay. Unit = row of decay's last axis. */
export const decayFactors = family.define('decayFactors', {
  tensors: { decay: 'in', factors: 'out' },
  args: { rows: 'i32', width: 'i32' },
  units: a => a.rows,
  cost: (a, { precision: p }) => ({
    flops: a.rows * a.width,
    nanoseconds: a.rows * a.width * FACTOR[p],
  }),
  shared: true,
})

/** y[row] = Σ over x [rows, width]. Unit = row. */
export const sumOverHeads = family.define('sumOverHeads', {
  tensors: { x: 'in', y: 'out' },
  args: { rows: 'i32', width: 'i32' },
  units: a => a.rows,
  cost: (a, { precision: p }) => ({
    flops: a.rows * a.width,
    nanoseconds: a.rows * (a.width + 2) * SUMMED[p],
  }),
  shared: true,
})

/**
 * output [batch, heads, queries, dimV], zeros where a row is padding, and where it attends to nothing and there is no initial state.
 * state [batch, kvHeads, dimK, dimV]: behind the last key that is no padding. states [batch, kvHeads, chunks, dimK, dimV]: at
 * the beginning of each unit. Unit = RECURRENT_CHUNK events of a block of columns of a state; those of a block are a chain.
 */
export const recurrentForward = family.define('recurrentForward', {
  tensors: { q: 'in?', ...inputs, output: 'out?', states: 'out?', state: 'out' },
  args,
  units: a => a.batch * a.kvHeads * columnBlocks(a) * recurrentChunks(a),
  chain: recurrentChunks,
  cost: (a, context) => cost(a, stepOperations(a), context.tensors.output === undefined ? 0 : 2, context),
  words,
  areas,
})

/** The keys that a unit may hold. */
const mostKeys = ({ keys }: Pick<RecurrentArgs, 'keys'>) => Math.min(keys, RECURRENT_CHUNK)

/**
 * Differentiates recurrentForward, from the last event to the first. states: from it, of the same arguments. gradState [batch, kvHeads, dimK,
 * dimV]: what the events from there on make of the state, at last the gradient of the initial one. gradDecay is that of the decay, shaped like the factors;
 * gradBeta [batch, keys, kvHeads]. Unit = RECURRENT_CHUNK events of a state, the last first; those of a state are a chain.
 */
export const recurrentBackward = family.define('recurrentBackward', {
  tensors: {
    q: 'in',
    ...inputs,
    states: 'in',
    gradOutput: 'in',
    gradQ: 'out?',
    gradK: 'out?',
    gradV: 'out?',
    gradDecay: 'out?',
    gradBeta: 'out?',
    gradState: 'out',
  },
  args,
  units: a => a.batch * a.kvHeads * recurrentChunks(a),
  chain: recurrentChunks,
  cost: (a, context) => cost(a, stepOperations(a) + 7 + (a.betaHeads > 0 ? 4 : 0), 4, context),
  words,
  areas: {
    ...areas,
    /** [keys of a unit + 1][dimK][16]: the state behind each key of the unit, and before the first */
    within: a => (mostKeys(a) + 1) * blockBytes(a),
    /** [keys of a unit][16]: v − S̃ᵀk */
    errors: a => mostKeys(a) * ROW_BYTES,
    /** [16] each: gradients of u and of S̃ᵀk, and u */
    gradUpdate: () => ROW_BYTES,
    gradRead: () => ROW_BYTES,
    update: () => ROW_BYTES,
    /** [dimK][4]: four parts of each sum over columns */
    sums: ({ dimK }) => 16 * dimK,
    otherSums: ({ dimK }) => 16 * dimK,
  },
})
