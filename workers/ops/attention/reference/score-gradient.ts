/**
 * From the gradient of the output to that of one masked score, through dropout and softmax and, where the loss has a
 * term c·Σ_rows H, through the rows' entropies H = −Σ_j p_j·ln p_j:
 *
 *   dP_j = z_j·Σ_d dO[i,d]·v[j,d]                     of  output = Σ_j z_j·p_j·v_j
 *   dS_j = p_j·(dP_j − Σ_k p_k·dP_k) = p_j·(dP_j − delta),  delta = Σ_d output[i,d]·dO[i,d]
 *
 * (Σ_k p_k·dP_k = Σ_d dO_d·Σ_k z_k·p_k·v_kd, which is the output again.) For the entropy, dH/dp_j = −(ln p_j + 1), so
 *
 *   dH/ds_j = −p_j·(ln p_j + 1 − Σ_k p_k·(ln p_k + 1)) = −p_j·(ln p_j + H),   ln p_j = s_j − m − ln Σ.
 *
 * Where the loss has terms of the weights and of the logsumexp l themselves, G = ∂L/∂p (before dropout) and g = ∂L/∂l:
 *
 *   dP_j = … + G_j      delta = … + Σ_k p_k·G_k − g,  because dl/ds_j = p_j.
 *
 * Hazard: dP and delta may overflow where their difference does not (keys whose values are large and alike): where the
 * difference is not finite, both are formed again from a gradOutput that is scaled down.
 */

import type { Reals } from '../../define-op.ts'
import { dot } from '../../rows.ts'
import type { AttentionArgs, GradientTensors } from '../op.ts'
import { keyRow, type QueryRow } from './attended.ts'

/** A pair that is attended: its score, its weight, dropout's factor and its row's delta. */
interface Pair {
  s: number
  p: number
  z: number
  delta: number
}

/** Σ_d output·gradOutput, and the row's term; 0 for a row that attends to nothing, whose gradOutput may be NaN. */
export function deltaOf(t: GradientTensors, a: AttentionArgs, row: QueryRow): number {
  if (t.denominator[2 * row.index + 1] === 0) return 0
  return dot(t.output, row.at, t.gradOutput, row.at, a.dimV) + (t.rowTerms?.[row.index] ?? 0)
}

/** ∂L/∂s of an attended pair, s being the masked score; so it is also the gradient of whatever is added to it. */
export function gradMaskedScore(
  t: GradientTensors,
  a: AttentionArgs,
  row: QueryRow,
  j: number,
  { s, p, z, delta }: Pair,
): number {
  const ofWeight = t.weightTerms?.[row.index * a.keys + j] ?? 0
  const gradWeight = z * dot(t.gradOutput, row.at, t.v, keyRow(row, j), a.dimV) + ofWeight
  let difference = gradWeight - delta
  if (!Number.isFinite(difference)) {
    const terms = ofWeight - (t.rowTerms?.[row.index] ?? 0)
    difference = scaledDifference(t, a, row, keyRow(row, j), z) + terms
  }
  return p * (difference - entropyTerm(t, row, s))
}

/** z·Σ_d dO·v − Σ_d dO·output, with dO scaled down by a power of two in between. */
function scaledDifference(
  t: GradientTensors,
  a: AttentionArgs,
  row: QueryRow,
  key: number,
  z: number,
): number {
  let difference = 0
  for (let d = 0; d < a.dimV; d++) {
    const grad = t.gradOutput[row.at * a.dimV + d] * 2 ** -600
    difference += z * grad * t.v[key * a.dimV + d] - grad * t.output[row.at * a.dimV + d]
  }
  return difference * 2 ** 600
}

/** c·(ln p + H); an absent or zero coefficient leaves the entropy out, whatever stands there. */
function entropyTerm(t: GradientTensors, row: QueryRow, s: number): number {
  const coefficient = t.scalars?.[1] ?? 0
  if (coefficient === 0) return 0
  const [m, sum] = t.denominator.subarray(2 * row.index, 2 * row.index + 2)
  return coefficient * (s - m + ((t.entropy as Reals)[row.index] - Math.log(sum)))
}
