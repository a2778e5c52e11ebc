/**
 * From the gradient of the output to that of one masked score, through dropout and softmax and, where the loss has a
 * term c·Σ_rows H, through the rows' entropies H = −Σ_j p_j·ln p_j:
 *
 *   dP_j = z_j·Σ_d dO[i,d]·v[j,d]                     of  output = Σ_j z_j·p_j·v_j
 *   dS_j = p_j·(dP_j − Σ_k p_k·dP_k) = p_j·(dP_j − delta),  delta = Σ_d output[i,d]·dO[i,d]
 *
 * (Σ_k p_k·dP_k = Σ_d dO_d·Σ_k z_k·p_k·v_kd, which is the output again.) For the entropy, dH/dp_j = −(ln p_j + 1), so
 *
 *   dH/ds_j = −p_j·(ln p_j + 1 − Σ_k p_k·(ln p_k + 1)) = −p_j·(ln p_j + H),   ln p_j = s_j − logsumexp.
 */

import type { Reals } from '../../define-op.ts'
import { dot } from '../../rows.ts'
import type { AttentionArgs, GradientTensors } from '../op.ts'
import type { QueryRow } from './attended.ts'

/** A pair that is attended: its score, its weight, dropout's factor and its row's delta. */
interface Pair {
  s: number
  p: number
  z: number
  delta: number
}

/** Σ_d output·gradOutput; 0 for a row that attends to nothing, whose gradOutput may be NaN. */
export function deltaOf(t: GradientTensors, a: AttentionArgs, row: QueryRow): number {
  if (t.logsumexp[row.index] === Number.NEGATIVE_INFINITY) return 0
  return dot(t.output, row.index, t.gradOutput, row.index, a.dimV)
}

/** ∂L/∂s of an attended pair, s being the masked score; so it is also the gradient of whatever is added to it. */
export function gradMaskedScore(
  t: GradientTensors,
  a: AttentionArgs,
  row: QueryRow,
  j: number,
  { s, p, z, delta }: Pair,
): number {
  const gradWeight = z * dot(t.gradOutput, row.index, t.v, row.firstKey + j, a.dimV)
  return p * (gradWeight - delta - entropyTerm(t, row, s))
}

/** c·(ln p + H); an absent or zero coefficient leaves the entropy out, whatever stands there. */
function entropyTerm(t: GradientTensors, row: QueryRow, s: number): number {
  const coefficient = t.scalars?.[1] ?? 0
  if (coefficient === 0) return 0
  return coefficient * (s - t.logsumexp[row.index] + (t.entropy as Reals)[row.index])
}
