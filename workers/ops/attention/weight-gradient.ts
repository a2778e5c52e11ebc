import { dropoutKeys, keepFactor } from '../dropout.ts'
import type { WeightGradientArgs, WeightGradientTensors } from './op.ts'

/**
 * The gradient of the loss with respect to the attention weights P (before dropout), each weight taken as a variable of
 * its own:
 *
 *   O = (Z ⊙ P)·V,  L(O) + c·Σ_rows H,  H = −Σ_j p ln p
 *   ∂L/∂p_ij = z_ij·Σ_d ∂L/∂o_id · v_jd − c·(ln p_ij + 1)    where i attends to j,    0 elsewhere
 *
 * z = dropout's 0 or 1/(1−p); ln p = maskedScore − m − ln Σ, which is finite even where p underflows. Through the
 * softmax, P ⊙ (∂P − Σ_j P ⊙ ∂P), it gives the gradient of the scores.
 *
 * `products` = ∂L/∂O·Vᵀ is made by the kernel attentionMaps, with ∂L/∂O in the place of q, v in that of k, scale 1 and no
 * softcap or bias: its `scores` where `maskedScores` says who attends, else its `maskedScores`.
 *
 * Hazard: pairs that are not attended may hold −∞ or NaN (padding): they are 0 without arithmetic.
 * A unit is one query row; writes its row of gradWeights.
 */
export function weightGradient(
  t: WeightGradientTensors,
  a: WeightGradientArgs,
  from: number,
  to: number,
): void {
  const { products, maskedScores, denominator, gradWeights } = t
  const attended = maskedScores ?? products
  const coefficient = (maskedScores && denominator && t.scalars?.[1]) || 0
  if (coefficient === 0 && a.dropoutP === 0) {
    // nothing but the choice between two numbers: as fast as memory
    for (let at = from * a.keys, end = to * a.keys; at < end; at++) {
      gradWeights[at] = attended[at] === Number.NEGATIVE_INFINITY ? 0 : products[at]
    }
    return
  }
  for (let row = from; row < to; row++) {
    const keys = dropoutKeys(a, row)
    const [m, sum] = denominator?.subarray(2 * row, 2 * row + 2) ?? [0, 1]
    const logSum = Math.log(sum)
    const begin = row * a.keys
    for (let j = 0; j < a.keys; j++) {
      const at = begin + j
      const s = attended[at]
      if (s === Number.NEGATIVE_INFINITY) {
        gradWeights[at] = 0
        continue
      }
      let gradient = keepFactor(a, keys, j) * products[at]
      if (coefficient !== 0) gradient -= coefficient * (s - m - logSum + 1)
      gradWeights[at] = gradient
    }
  }
}
