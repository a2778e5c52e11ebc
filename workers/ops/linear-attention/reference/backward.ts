/** The gradients of linear attention, row by row and key by key. */
import type { Reals, Tensors } from '../../define-op.ts'
import { addRow, dot } from '../../rows.ts'
import type * as op from '../op.ts'
import { LINEAR_CHUNK, type LinearAttentionArgs, linearChunks, stateSums } from '../op.ts'
import { featureSlope, featuresOf, scaledFeature, slopeRatio } from './features.ts'
import { productOf, productsOf } from './products.ts'
import { forEachRow, queryOf, rulesOf, stateAt } from './rows.ts'

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
