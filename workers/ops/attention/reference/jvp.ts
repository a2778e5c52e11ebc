/** Attention in forward mode, row by row. */

import type { Reals } from '../../define-op.ts'
import { dropoutKeys, keepFactor } from '../../dropout.ts'
import { addRow, dot } from '../../rows.ts'
import type { AttentionArgs, JvpTensors } from '../op.ts'
import { maskIndex, type QueryRow, queryRows } from './attended.ts'
import { maskedScore, scaledScore, softcapBackward, weightOf } from './score.ts'

const nothing = Number.NEGATIVE_INFINITY

/**
 * The tangents of output, weights and logsumexp l, from those of q, k, v, a float mask and the sinks:
 *
 *   ds_j = (1 − tanh²)·Σ_d (scale·dq[d]·k[j,d] + scale·q[d]·dk[j,d]) + dmask_j      of the masked score
 *   dl = Σ_j p_j·ds_j + p_sink·dsink              p_j = exp(s_j − m)/Σ, p_sink = exp(sink − m)/Σ
 *   dp_j = p_j·(ds_j − dl)
 *   doutput[d] = Σ_j z_j·(dp_j·v[j,d] + p_j·dv[j,d])      z = dropout's 0 or 1/(1−p), a constant
 *
 * for every query row over its attended keys j, p computed again from the row's denominator (m, Σ).
 *
 * Hazard: Σ z·p·ds·v − dl·output, which would need the keys only once, cancels where a row attends (almost) to one key. So dl is
 * summed first. Pairs that are not attended are skipped, tangents included: 0·NaN is NaN. A row that attends to nothing has
 * tangents of 0; with a sink, that of its logsumexp is the sink's.
 * Differentiates attention.ts and, where there are sinks, ops/sinks. Source: the chain rule.
 */
export function attentionJvp(t: JvpTensors, a: AttentionArgs, from: number, to: number): void {
  const p = new Float64Array(a.keys)
  const ds = new Float64Array(a.keys)
  const moves = [t.tangentQ, t.tangentK, t.tangentMask, t.tangentSinks].some(given => given !== undefined)
  for (const row of queryRows(t, a, from, to)) {
    const { index } = row
    const scaled = { q: scaledRow(a, t.q, index), tangentQ: scaledRow(a, t.tangentQ, index) }
    const attended: number[] = []
    let mean = 0
    for (let j = row.lo; j < row.hi; j++) {
      const s = maskedScore(t, a, row, j)
      if (s === nothing) continue
      attended.push(j)
      p[j] = weightOf(t, row, s)
      ds[j] = scoreTangent(t, a, row, j, scaled)
      mean += p[j] * ds[j]
    }
    mean += sinkTangent(t, row)
    if (t.tangentLogsumexp) t.tangentLogsumexp[index] = mean

    t.tangentOutput?.fill(0, index * a.dimV, (index + 1) * a.dimV)
    t.tangentWeights?.fill(0, index * a.keys, (index + 1) * a.keys)
    const keys = dropoutKeys(a, index)
    for (const j of attended) {
      const key = row.firstKey + j
      const z = keepFactor(a, keys, j)
      const tangent = p[j] * (ds[j] - mean)
      if (t.tangentWeights) t.tangentWeights[index * a.keys + j] = tangent
      if (!t.tangentOutput) continue
      if (moves) addRow(t.tangentOutput, index, z * tangent, t.v, key, a.dimV)
      if (t.tangentV) addRow(t.tangentOutput, index, z * p[j], t.tangentV, key, a.dimV)
    }
  }
}

/** scale·x of a row: before the product, which may overflow where scale·x·k does not. */
function scaledRow({ scale, dimK }: AttentionArgs, x: Reals | undefined, row: number): Reals | undefined {
  return x?.slice(row * dimK, (row + 1) * dimK).map(element => scale * element)
}

/** The tangent of an attended pair's masked score. */
function scoreTangent(
  t: JvpTensors,
  a: AttentionArgs,
  row: QueryRow,
  j: number,
  { q, tangentQ }: { q: Reals | undefined; tangentQ: Reals | undefined },
): number {
  const key = row.firstKey + j
  let sum = 0
  if (tangentQ) sum += dot(tangentQ, 0, t.k, key, a.dimK)
  if (q && t.tangentK) sum += dot(q, 0, t.tangentK, key, a.dimK)
  if (a.softcap > 0) sum *= softcapBackward(scaledScore(t, a, row, j), a.softcap)
  return sum + (t.tangentMask?.[maskIndex(a, row, j)] ?? 0)
}

/** What a moving sink adds to the tangent of the row's logsumexp: its weight times its tangent. */
function sinkTangent(t: JvpTensors, row: QueryRow): number {
  if (t.sinks === undefined || t.tangentSinks === undefined || t.sinks[row.h] === nothing) return 0
  return weightOf(t, row, t.sinks[row.h]) * t.tangentSinks[row.h]
}
