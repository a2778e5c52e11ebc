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

import type { Tensors } from '../../define-op.ts'
import { addRow, dot } from '../../rows.ts'
import type * as op from '../op.ts'
import { type LinearAttentionArgs, PLAIN_LOG_64 } from '../op.ts'
import { featuresOf } from './features.ts'
import { largestProduct, productOf, productsOf } from './products.ts'
import { forEachRow, type Query, queryOf } from './rows.ts'

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
