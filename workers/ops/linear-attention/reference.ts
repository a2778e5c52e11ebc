/**
 * Linear attention and its gradients, row by row. With φ(x) = elu(x) + 1 in place of the softmax's exponential, what a
 * row takes from its keys depends on them through two sums alone:
 *
 *   S = Σ_j φ(k_j)·v_jᵀ [dimK, dimV]        z = Σ_j φ(k_j) [dimK]
 *   output_i = φ(q_i)ᵀS / normaliser_i       normaliser_i = φ(q_i)ᵀz
 *
 * over the keys that row i attends to: all that are no padding, or causal those with j ≤ aligned i. A causal row takes
 * the sums before the chunk in which its keys end from `sums`, and goes through that chunk key by key.
 *
 * Hazard: φ(q)·φ(k) under- or overflows for most of what x may be, while its share in a row's sum does not. States have scales
 * (op.ts). A row whose sum or state is out of the ordinary, or that reads an element so large that a feature of its own may be lost before
 * they meet, is computed once more from the logarithms l of its features and its keys', its largest product taken off first:
 *
 *   A = max(l(q_d) + m_d, l(q_d) + l(k_jd))        Σ_d exp(l(q_d) + m_d − A)·z_d + Σ_j Σ_d exp(l(q_d) + l(k_jd) − A)
 *
 * A row that attends to nothing is zeros. Padding is never read.
 * Source: Katharopoulos, Vyas, Pappas and Fleuret 2020 (Transformers are RNNs), equations 4–12.
 */

import type { Reals, Tensors } from '../define-op.ts'
import { addRow, dot } from '../rows.ts'
import type * as op from './op.ts'
import {
  LINEAR_CHUNK,
  type LinearAttentionArgs,
  type LinearStateArgs,
  linearChunks,
  PLAIN_LOG_64,
  stateLength,
  stateSums,
} from './op.ts'

interface Masked {
  /** as in op.ts */
  intervals?: Int32Array
}

/** φ(x) = elu(x) + 1. */
export function feature(x: number): number {
  return x > 0 ? x + 1 : Math.exp(x)
}

/** φ′(x). */
export function featureSlope(x: number): number {
  return x > 0 ? 1 : Math.exp(x)
}

/** l(x) = ln φ(x). */
export function logFeature(x: number): number {
  return x > 0 ? Math.log1p(x) : x
}

/** φ′(x)/φ(x). */
export function slopeRatio(x: number): number {
  return x > 0 ? 1 / (1 + x) : 1
}

/** φ of one row. */
function featuresOf(x: Reals, row: number, dim: number): Float64Array {
  return Float64Array.from(x.subarray(row * dim, (row + 1) * dim), feature)
}

/** φ(x)·e^m, −∞ being the scale of a sum of nothing. */
function scaledFeature(x: number, m: number): number {
  return m === 0 || m === Number.NEGATIVE_INFINITY ? feature(x) : Math.exp(logFeature(x) + m)
}

/** The scale of what has the largest logarithm `log`: none where that is ordinary, or not finite. */
function scaleOf(log: number): number {
  return Math.abs(log) > PLAIN_LOG_64 && Math.abs(log) < Number.POSITIVE_INFINITY ? log : 0
}

/** What the intervals of batch b say of rows and keys. */
function rulesOf({ intervals }: Masked, a: LinearAttentionArgs, b: number) {
  const first = b * a.intervalStrides[0]
  const from = (i: number) => intervals?.[2 * (first + i)] ?? 0
  const to = (i: number) => intervals?.[2 * (first + i) + 1] ?? a.keys
  /** how many keys, from the first on, row i attends to */
  const attended = (i: number) => (from(i) < to(i) ? to(i) : 0)
  /** the first row that attends to key j */
  const firstRow = (j: number) => {
    let row = 0
    while (row < a.queries && to(row) <= j) row++
    return row
  }
  /** rows that are no padding */
  let live = 0
  while (live < a.queries && from(live) < a.keys) live++
  /** keys that any row attends to */
  const seen = live > 0 ? attended(live - 1) : 0
  return { live, attended, firstRow, seen }
}

/** S and z of one chunk of keys, or of query rows with w in place of the 1s. */
export function linearStates(
  t: Tensors<typeof op.linearStates>,
  a: LinearStateArgs,
  from: number,
  to: number,
): void {
  const keys = a.side === 'keys'
  const positions = keys ? a.keys : a.queries
  const heads = keys ? a.kvHeads : a.heads
  const chunks = linearChunks(positions)
  const length = stateLength(a)
  for (let unit = from; unit < to; unit++) {
    const head = Math.floor(unit / chunks)
    const { live, firstRow, seen } = rulesOf(t, a, Math.floor(head / heads))
    const begin = (unit % chunks) * LINEAR_CHUNK
    const end = Math.min(begin + LINEAR_CHUNK, keys ? seen : live)
    const first = head * positions + Math.max(begin, keys ? 0 : firstRow(0))
    const last = head * positions + end
    const state = t.states.subarray(unit * length, (unit + 1) * length).fill(0)
    const { S, z, scales } = stateAt(state, a, 0)
    if (first >= last) {
      scales.fill(Number.NEGATIVE_INFINITY)
      continue
    }
    const logs = largestLogs(t, a.dimK, first, last)
    scales.set(logs.map(scaleOf))
    addRows(t, a, { S, z, scales }, first, last)
    if (S.every(Number.isFinite) && z.every(Number.isFinite)) continue
    // values so large that their sum overflows: features of less than 1/LINEAR_CHUNK
    scales.set(logs.map(log => (Number.isFinite(log) ? log + 5 : 0)))
    addRows(t, a, { S, z, scales }, first, last)
  }
}

/** The largest l(x) − A of each dimension. */
function largestLogs(
  t: Tensors<typeof op.linearStates>,
  dimK: number,
  first: number,
  last: number,
): number[] {
  return Array.from({ length: dimK }, (_, d) => {
    let largest = Number.NEGATIVE_INFINITY
    for (let row = first; row < last; row++) {
      largest = Math.max(largest, logFeature(t.x[row * dimK + d]) - (t.rowScale?.[row] ?? 0))
    }
    return largest
  })
}

function addRows(
  t: Tensors<typeof op.linearStates>,
  a: LinearStateArgs,
  { S, z, scales }: State,
  first: number,
  last: number,
): void {
  S.fill(0)
  z.fill(0)
  for (let row = first; row < last; row++) {
    for (let d = 0; d < a.dimK; d++) {
      const x = scaledFeature(t.x[row * a.dimK + d], -(scales[d] + (t.rowScale?.[row] ?? 0)))
      addRow(S, d, x, t.y, row, a.dimV)
      z[d] += x * (t.w === undefined ? 1 : t.w[row])
    }
  }
}

/** Writes output, normaliser and scale of LINEAR_CHUNK query rows a unit. */
export function linearAttentionForward(
  t: Tensors<typeof op.linearAttentionForward>,
  a: LinearAttentionArgs,
  from: number,
  to: number,
): void {
  forEachRow(a.queries, from, to, (head, i) => {
    const query = queryOf(t, a, head, i)
    const { row, x, pairs, kvHead, state } = query
    const output = t.output.subarray(row * a.dimV, (row + 1) * a.dimV).fill(0)
    t.normaliser[row] = 0
    t.rowScale[row] = 0
    if (query.count === 0) return
    let normaliser = 0
    for (let d = 0; d < a.dimK; d++) {
      addRow(output, 0, x[d], state.S, d, a.dimV)
      normaliser += x[d] * state.z[d]
    }
    let largest = Math.max(...x)
    for (const j of pairs) {
      const y = featuresOf(t.k, kvHead * a.keys + j, a.dimK)
      const weight = dot(x, 0, y, 0, a.dimK)
      addRow(output, 0, weight, t.v, kvHead * a.keys + j, a.dimV)
      normaliser += weight
      largest = y.reduce((most, f) => Math.max(most, f), largest)
    }
    t.normaliser[row] = normaliser
    for (let d = 0; d < a.dimV; d++) output[d] = normaliser === 0 ? 0 : output[d] / normaliser
    const ordinary = Math.abs(Math.log(normaliser)) <= 2 * PLAIN_LOG_64 && Math.log(largest) <= PLAIN_LOG_64
    const scaled = state.scales.some(m => m !== 0 && m !== Number.NEGATIVE_INFINITY)
    if (scaled || !ordinary || !output.every(Number.isFinite)) rowFromLogarithms(t, a, query)
  })
}

/** A row whose sum is out of the ordinary. */
function rowFromLogarithms(
  t: Tensors<typeof op.linearAttentionForward>,
  a: LinearAttentionArgs,
  query: Query,
): void {
  const { row, pairs, kvHead, state } = query
  const scale = largestProduct(t, a, query)
  // NaN and ±∞ are there by rights
  if (!Number.isFinite(scale)) return
  const ofState = Array.from(state.z, (_, d) => productOf(t.q[row * a.dimK + d], state.scales[d], scale))
  const ofPairs = pairs.map(j => {
    return productsOf(t, a, row, kvHead * a.keys + j, scale).reduce((sum, product) => sum + product, 0)
  })
  const normaliser = [...ofState.map((f, d) => f * state.z[d]), ...ofPairs].reduce((sum, x) => sum + x, 0)
  const output = t.output.subarray(row * a.dimV, (row + 1) * a.dimV).fill(0)
  for (const [d, f] of ofState.entries()) addRow(output, 0, f / normaliser, state.S, d, a.dimV)
  for (const [index, j] of pairs.entries()) {
    addRow(output, 0, ofPairs[index] / normaliser, t.v, kvHead * a.keys + j, a.dimV)
  }
  t.normaliser[row] = normaliser
  t.rowScale[row] = scale
}

/** A: the largest l(q_d) + m_d and l(q_d) + l(k_jd), and never 0. */
function largestProduct(
  t: QueryTensors,
  a: LinearAttentionArgs,
  { row, pairs, kvHead, state }: Query,
): number {
  let largest = Number.NEGATIVE_INFINITY
  for (let d = 0; d < a.dimK; d++) {
    const l = logFeature(t.q[row * a.dimK + d])
    largest = Math.max(largest, l + state.scales[d])
    for (const j of pairs)
      largest = Math.max(largest, l + logFeature(t.k[(kvHead * a.keys + j) * a.dimK + d]))
  }
  return largest === 0 ? 2 ** -100 : largest
}

/** exp(l(q) + m − A), 0 where nothing was summed. */
function productOf(q: number, m: number, scale: number): number {
  return m === Number.NEGATIVE_INFINITY ? 0 : Math.exp(logFeature(q) + m - scale)
}

/** exp(l(q_d) + l(k_d) − A) of a row and a key. */
function productsOf(
  t: Pick<QueryTensors, 'q' | 'k'>,
  a: LinearAttentionArgs,
  row: number,
  key: number,
  scale: number,
): Float64Array {
  const products = new Float64Array(a.dimK)
  for (let d = 0; d < a.dimK; d++) {
    products[d] = Math.exp(logFeature(t.q[row * a.dimK + d]) + logFeature(t.k[key * a.dimK + d]) - scale)
  }
  return products
}

/**
 * Differentiates linearAttentionForward for q; g = scaled and c = gradNormaliser from linearAttentionDelta:
 *
 *   ∂L/∂φ(q_i) = S_i·g_i + z_i·c_i = Σ_j (g_i·v_j + c_i)·φ(k_j)        gradQ = φ′(q) ⊙ ∂L/∂φ(q)
 *
 * With scales φ′(q)·φ(k) = exp(l(q) + l(k))·φ′(q)/φ(q), and g and c hold 1/e^A.
 */
export function linearAttentionBackwardQuery(
  t: Tensors<typeof op.linearAttentionBackwardQuery>,
  a: LinearAttentionArgs,
  from: number,
  to: number,
): void {
  forEachRow(a.queries, from, to, (head, i) => {
    const query = queryOf(t, a, head, i)
    const { row, pairs, kvHead, state } = query
    const grad = t.gradQ.subarray(row * a.dimK, (row + 1) * a.dimK).fill(0)
    if (query.count === 0) return
    const c = t.gradNormaliser[row]
    const scale = t.rowScale[row]
    for (let d = 0; d < a.dimK; d++) {
      const ofState = dot(t.scaled, row, state.S, d, a.dimV) + state.z[d] * c
      grad[d] = scale === 0 ? ofState : ofState * productOf(t.q[row * a.dimK + d], state.scales[d], scale)
    }
    for (const j of pairs) {
      const key = kvHead * a.keys + j
      const weight = dot(t.scaled, row, t.v, key, a.dimV) + c
      const products = scale === 0 ? featuresOf(t.k, key, a.dimK) : productsOf(t, a, row, key, scale)
      addRow(grad, 0, weight, products, 0, a.dimK)
    }
    const slope = scale === 0 ? featureSlope : slopeRatio
    for (let d = 0; d < a.dimK; d++) grad[d] *= slope(t.q[row * a.dimK + d])
  })
}

/** The gradient of x from that of φ(x), and from that by its logarithm. */
function throughFeatures(grad: Reals, x: Reals, plain: Float64Array, scaled: Float64Array): void {
  for (let d = 0; d < grad.length; d++) {
    grad[d] = plain[d] * featureSlope(x[d])
    if (scaled[d] !== 0) grad[d] += scaled[d] * slopeRatio(x[d])
  }
}

/**
 * Differentiates linearAttentionForward for k and v; T = Σ φ(q_i)·g_iᵀ and y = Σ φ(q_i)·c_i over the rows, of all heads of
 * the group, that attend to key j: from the sums, those from the first whole chunk of such rows on; one by one before it.
 *
 *   ∂L/∂φ(k_j) = T·v_j + y = Σ_i (g_i·v_j + c_i)·φ(q_i)        gradK = φ′(k) ⊙ ∂L/∂φ(k)
 *   gradV_j = Tᵀφ(k_j) = Σ_i (φ(q_i)·φ(k_j))·g_i
 */
export function linearAttentionBackwardKey(
  t: Tensors<typeof op.linearAttentionBackwardKey>,
  a: LinearAttentionArgs,
  from: number,
  to: number,
): void {
  const group = a.heads / a.kvHeads
  forEachRow(a.keys, from, to, (kvHead, j) => {
    const { live, firstRow, seen } = rulesOf(t, a, Math.floor(kvHead / a.kvHeads))
    const key = kvHead * a.keys + j
    const gradK = t.gradK?.subarray(key * a.dimK, (key + 1) * a.dimK).fill(0)
    const gradV = t.gradV?.subarray(key * a.dimV, (key + 1) * a.dimV).fill(0)
    if (j >= seen) return
    const first = firstRow(j)
    const chunk = Math.min(Math.ceil(first / LINEAR_CHUNK), linearChunks(a.queries))
    const {
      S: T,
      z: y,
      scales,
    } = stateAt(t.sums, a, kvHead * stateSums(a, a.queries) + (a.causal ? chunk : 0))
    const x = featuresOf(t.k, key, a.dimK)
    /** of φ(k), and of exp(l(k) + …) */
    const [plain, scaled] = [new Float64Array(a.dimK), new Float64Array(a.dimK)]
    for (let d = 0; d < a.dimK; d++) {
      const ofState = dot(T, d, t.v, key, a.dimV) + y[d]
      const f = scaledFeature(t.k[key * a.dimK + d], scales[d])
      if (f === x[d]) plain[d] = ofState
      else scaled[d] = f * ofState
      if (gradV) addRow(gradV, 0, f, T, d, a.dimV)
    }
    for (let member = 0; member < group; member++) {
      for (let i = first; i < (a.causal ? Math.min(chunk * LINEAR_CHUNK, live) : 0); i++) {
        const row = (kvHead * group + member) * a.queries + i
        const weight = dot(t.scaled, row, t.v, key, a.dimV) + t.gradNormaliser[row]
        if (t.rowScale[row] === 0) {
          const q = featuresOf(t.q, row, a.dimK)
          addRow(plain, 0, weight, q, 0, a.dimK)
          if (gradV) addRow(gradV, 0, dot(q, 0, x, 0, a.dimK), t.scaled, row, a.dimV)
          continue
        }
        const products = productsOf(t, a, row, key, t.rowScale[row])
        addRow(scaled, 0, weight, products, 0, a.dimK)
        const sum = products.reduce((sum, product) => sum + product, 0)
        if (gradV) addRow(gradV, 0, sum, t.scaled, row, a.dimV)
      }
    }
    if (gradK) throughFeatures(gradK, t.k.subarray(key * a.dimK, (key + 1) * a.dimK), plain, scaled)
  })
}

/** The rows of units [from, to): LINEAR_CHUNK positions of one head each. */
function forEachRow(
  positions: number,
  from: number,
  to: number,
  visit: (head: number, position: number) => void,
): void {
  const chunks = linearChunks(positions)
  for (let unit = from; unit < to; unit++) {
    const begin = (unit % chunks) * LINEAR_CHUNK
    for (let i = begin; i < Math.min(begin + LINEAR_CHUNK, positions); i++)
      visit(Math.floor(unit / chunks), i)
  }
}

interface QueryTensors extends Masked {
  q: Reals
  k: Reals
  sums: Reals
}

type Query = ReturnType<typeof queryOf>

/** A query row: φ(q), how many keys it attends to, those it meets one by one, and the sums of those before them. */
function queryOf(t: QueryTensors, a: LinearAttentionArgs, head: number, i: number) {
  const b = Math.floor(head / a.heads)
  const count = rulesOf(t, a, b).attended(i)
  const chunk = a.causal ? Math.floor(count / LINEAR_CHUNK) : 0
  const first = a.causal ? chunk * LINEAR_CHUNK : count
  const pairs = Array.from({ length: count - first }, (_, index) => first + index)
  const kvHead = b * a.kvHeads + Math.floor(((head % a.heads) * a.kvHeads) / a.heads)
  const row = head * a.queries + i
  const state = stateAt(t.sums, a, kvHead * stateSums(a, a.keys) + chunk)
  return { row, x: featuresOf(t.q, row, a.dimK), count, pairs, kvHead, state }
}

interface State {
  S: Reals
  z: Reals
  scales: Reals
}

function stateAt(sums: Reals, a: LinearAttentionArgs, slot: number): State {
  const length = stateLength(a)
  const state = sums.subarray(slot * length, (slot + 1) * length)
  const z = a.dimK * a.dimV
  return {
    S: state.subarray(0, z),
    z: state.subarray(z, z + a.dimK),
    scales: state.subarray(z + a.dimK),
  }
}
