/** Scaled dot-product attention, row by row. */

import { dropoutKeys, keepFactor } from '../../dropout.ts'
import { addRow } from '../../rows.ts'
import type { AttentionArgs, ForwardTensors } from '../op.ts'
import { keyRow, queryRows } from './attended.ts'
import { writeMaps } from './maps.ts'
import { maskedScore } from './score.ts'

const nothing = Number.NEGATIVE_INFINITY

/**
 *   s_j = masked score of (i, j)         denominator = (m, Σ_j exp(s_j − m)), m = max_j s_j
 *   p_j = exp(s_j − m)/Σ                 logsumexp = m + ln Σ       entropy = −Σ_j p_j·ln p_j
 *   output[i,d] = Σ_j z_j·p_j·v[j,d]     z = dropout's 0 or 1/(1−p)
 *
 * for every query row i [batch, heads, queries] over its attended keys j (s_j ≠ −∞).
 *
 * Hazard: exp overflows for s > 709, so the row's maximum is taken off first, which leaves p as it is. Math.max carries
 * a NaN on, so that the maximum is −∞ only where nothing is attended: such a row is zeros, and its logsumexp −∞.
 * Pairs that are not attended are skipped rather than weighted by 0, because 0·NaN is NaN. A dropped pair is attended.
 *
 * Writes output, denominator, logsumexp and, when given, entropy, maxima (max) and the maps, as maps.ts defines them.
 * Source: Vaswani et al. 2017; the row's entropy as in information theory, in nats.
 */
export function attentionForward(t: ForwardTensors, a: AttentionArgs, from: number, to: number): void {
  const s = new Float64Array(a.keys)
  for (const row of queryRows(t, a, from, to)) {
    let max = nothing
    for (let j = row.lo; j < row.hi; j++) {
      s[j] = maskedScore(t, a, row, j)
      max = Math.max(max, s[j])
    }

    if (t.maxima) t.maxima[row.index] = max
    t.output.fill(0, row.at * a.dimV, (row.at + 1) * a.dimV)
    if (max === nothing) {
      t.denominator.set([nothing, 0], 2 * row.index)
      t.logsumexp[row.index] = nothing
      if (t.entropy) t.entropy[row.index] = 0
      writeMaps(t, a, row, s)
      continue
    }

    let sum = 0
    for (let j = row.lo; j < row.hi; j++) sum += Math.exp(s[j] - max)
    const logSum = Math.log(sum)
    t.denominator.set([max, sum], 2 * row.index)

    let entropy = 0
    const keys = dropoutKeys(a, row.index)
    for (let j = row.lo; j < row.hi; j++) {
      if (s[j] === nothing) continue
      const p = Math.exp(s[j] - max) / sum
      entropy -= p * (s[j] - max - logSum)
      addRow(t.output, row.at, keepFactor(a, keys, j) * p, t.v, keyRow(row, j), a.dimV)
    }
    t.logsumexp[row.index] = max + logSum
    if (t.entropy) t.entropy[row.index] = entropy
    writeMaps(t, a, row, s)
  }
}
