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
 * Hazard: the normaliser is positive, but underflows to 0 where every φ(q)·φ(k) does: such a row is zeros, as is one
 * that attends to nothing. Padding is never read.
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

/** φ of one row. */
function featuresOf(x: Reals, row: number, dim: number): Float64Array {
  return Float64Array.from(x.subarray(row * dim, (row + 1) * dim), feature)
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
    const state = t.states.subarray(unit * length, (unit + 1) * length).fill(0)
    for (let r = Math.max(begin, keys ? 0 : firstRow(0)); r < end; r++) {
      const row = head * positions + r
      const x = featuresOf(t.x, row, a.dimK)
      for (let d = 0; d < a.dimK; d++) {
        addRow(state, d, x[d], t.y, row, a.dimV)
        state[a.dimK * a.dimV + d] += x[d] * (t.w === undefined ? 1 : t.w[row])
      }
    }
  }
}

/** Writes output and normaliser of LINEAR_CHUNK query rows a unit. */
export function linearAttentionForward(
  t: Tensors<typeof op.linearAttentionForward>,
  a: LinearAttentionArgs,
  from: number,
  to: number,
): void {
  forEachRow(a.queries, from, to, (head, i) => {
    const { row, x, count, chunk, kvHead } = queryOf(t, a, head, i)
    const output = t.output.subarray(row * a.dimV, (row + 1) * a.dimV).fill(0)
    t.normaliser[row] = 0
    if (count === 0) return
    const { S, z } = stateAt(t.sums, a, kvHead * stateSums(a, a.keys) + chunk)
    let normaliser = 0
    for (let d = 0; d < a.dimK; d++) {
      addRow(output, 0, x[d], S, d, a.dimV)
      normaliser += x[d] * z[d]
    }
    for (let j = a.causal ? chunk * LINEAR_CHUNK : count; j < count; j++) {
      const key = kvHead * a.keys + j
      const weight = dot(x, 0, featuresOf(t.k, key, a.dimK), 0, a.dimK)
      addRow(output, 0, weight, t.v, key, a.dimV)
      normaliser += weight
    }
    t.normaliser[row] = normaliser
    for (let d = 0; d < a.dimV; d++) output[d] = normaliser === 0 ? 0 : output[d] / normaliser
  })
}

/**
 * Differentiates linearAttentionForward for q; g = scaled and c = gradNormaliser from linearAttentionDelta:
 *
 *   ∂L/∂φ(q_i) = S_i·g_i + z_i·c_i = Σ_j (g_i·v_j + c_i)·φ(k_j)        gradQ = φ′(q) ⊙ ∂L/∂φ(q)
 */
export function linearAttentionBackwardQuery(
  t: Tensors<typeof op.linearAttentionBackwardQuery>,
  a: LinearAttentionArgs,
  from: number,
  to: number,
): void {
  forEachRow(a.queries, from, to, (head, i) => {
    const { row, count, chunk, kvHead } = queryOf(t, a, head, i)
    const grad = t.gradQ.subarray(row * a.dimK, (row + 1) * a.dimK).fill(0)
    if (count === 0) return
    const { S, z } = stateAt(t.sums, a, kvHead * stateSums(a, a.keys) + chunk)
    const c = t.gradNormaliser[row]
    for (let d = 0; d < a.dimK; d++) grad[d] = dot(t.scaled, row, S, d, a.dimV) + z[d] * c
    for (let j = a.causal ? chunk * LINEAR_CHUNK : count; j < count; j++) {
      const key = kvHead * a.keys + j
      const weight = dot(t.scaled, row, t.v, key, a.dimV) + c
      addRow(grad, 0, weight, featuresOf(t.k, key, a.dimK), 0, a.dimK)
    }
    for (let d = 0; d < a.dimK; d++) grad[d] *= featureSlope(t.q[row * a.dimK + d])
  })
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
    const { S: T, z: y } = stateAt(t.sums, a, kvHead * stateSums(a, a.queries) + (a.causal ? chunk : 0))
    const x = featuresOf(t.k, key, a.dimK)
    for (let d = 0; d < a.dimK; d++) {
      if (gradK) gradK[d] = dot(T, d, t.v, key, a.dimV) + y[d]
      if (gradV) addRow(gradV, 0, x[d], T, d, a.dimV)
    }
    for (let member = 0; member < group; member++) {
      for (let i = first; i < (a.causal ? Math.min(chunk * LINEAR_CHUNK, live) : 0); i++) {
        const row = (kvHead * group + member) * a.queries + i
        const q = featuresOf(t.q, row, a.dimK)
        const weight = dot(t.scaled, row, t.v, key, a.dimV) + t.gradNormaliser[row]
        if (gradK) addRow(gradK, 0, weight, q, 0, a.dimK)
        if (gradV) addRow(gradV, 0, dot(q, 0, x, 0, a.dimK), t.scaled, row, a.dimV)
      }
    }
    if (gradK) for (let d = 0; d < a.dimK; d++) gradK[d] *= featureSlope(t.k[key * a.dimK + d])
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

/** A query row: φ(q), how many keys it attends to, the chunk in which they end, and the kv head they belong to. */
function queryOf(t: Masked & { q: Reals }, a: LinearAttentionArgs, head: number, i: number) {
  const b = Math.floor(head / a.heads)
  const count = rulesOf(t, a, b).attended(i)
  const chunk = a.causal ? Math.floor(count / LINEAR_CHUNK) : 0
  const kvHead = b * a.kvHeads + Math.floor(((head % a.heads) * a.kvHeads) / a.heads)
  const row = head * a.queries + i
  return { row, x: featuresOf(t.q, row, a.dimK), count, chunk, kvHead }
}

function stateAt(sums: Reals, a: LinearAttentionArgs, slot: number): { S: Reals; z: Reals } {
  const length = stateLength(a)
  const state = sums.subarray(slot * length, (slot + 1) * length)
  return { S: state, z: state.subarray(a.dimK * a.dimV) }
}
