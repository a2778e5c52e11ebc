/** Attention in forward mode, row by row. */

import { dropoutKeys, keepFactor } from '../../dropout.ts'
import { addRow } from '../../rows.ts'
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
    const attended: number[] = []
    let mean = 0
    for (let j = row.lo; j < row.hi; j++) {
      const s = maskedScore(t, a, row, j)
      if (s === nothing) continue
      attended.push(j)
      p[j] = weightOf(t, row, s)
      ds[j] = scoreTangent(t, a, row, j)
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

/** The tangent of an attended pair's masked score. */
function scoreTangent(t: JvpTensors, a: AttentionArgs, row: QueryRow, j: number): number {
  const qAt = row.index * a.dimK
  const kAt = (row.firstKey + j) * a.dimK
  let sum = 0
  for (let d = 0; t.tangentQ && d < a.dimK; d++) sum += a.scale * t.tangentQ[qAt + d] * t.k[kAt + d]
  for (let d = 0; t.tangentK && d < a.dimK; d++) sum += a.scale * t.q[qAt + d] * t.tangentK[kAt + d]
  if (a.softcap > 0) sum *= softcapBackward(scaledScore(t, a, row, j), a.softcap)
  return sum + (t.tangentMask?.[maskIndex(a, row, j)] ?? 0)
}

/** What a moving sink adds to the tangent of the row's logsumexp: its weight times its tangent. */
function sinkTangent(t: JvpTensors, row: QueryRow): number {
  if (t.sinks === undefined || t.tangentSinks === undefined || t.sinks[row.h] === nothing) return 0
  return weightOf(t, row, t.sinks[row.h]) * t.tangentSinks[row.h]
}
