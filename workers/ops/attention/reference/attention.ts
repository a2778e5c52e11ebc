/** Scaled dot-product attention, row by row, and its gradients. */

import { KEY_BLOCK } from '../../../layout.ts'
import { dropoutKeys, keepFactor } from '../../dropout.ts'
import { addRow } from '../../rows.ts'
import type { AttentionArgs, BackwardArgs, BackwardTensors, ForwardTensors } from '../op.ts'
import { queryRow, queryRows } from './attended.ts'
import { writeMaps } from './maps.ts'
import { maskedScore, scaledScore, softcapBackward } from './score.ts'
import { deltaOf, gradMaskedScore } from './score-gradient.ts'

const nothing = Number.NEGATIVE_INFINITY

/**
 *   s_j = masked score of (i, j)         logsumexp = ln Σ_j exp(s_j)
 *   p_j = exp(s_j)/Σ exp(s)              entropy = −Σ_j p_j·ln p_j
 *   output[i,d] = Σ_j z_j·p_j·v[j,d]     z = dropout's 0 or 1/(1−p)
 *
 * for every query row i [batch, heads, queries] over its attended keys j (s_j ≠ −∞).
 *
 * Hazard: exp overflows for s > 709, so the row's maximum is taken off first, which leaves p as it is. Math.max carries
 * a NaN on, so that the maximum is −∞ only where nothing is attended: such a row is zeros, and its logsumexp −∞.
 * Pairs that are not attended are skipped rather than weighted by 0, because 0·NaN is NaN. A dropped pair is attended.
 *
 * Writes output, logsumexp and, when given, entropy and the maps, as maps.ts defines them.
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

    t.output.fill(0, row.index * a.dimV, (row.index + 1) * a.dimV)
    if (max === nothing) {
      t.logsumexp[row.index] = nothing
      if (t.entropy) t.entropy[row.index] = 0
      writeMaps(t, a, row, s)
      continue
    }

    let sum = 0
    for (let j = row.lo; j < row.hi; j++) sum += Math.exp(s[j] - max)
    const logSum = Math.log(sum)

    let entropy = 0
    const keys = dropoutKeys(a, row.index)
    for (let j = row.lo; j < row.hi; j++) {
      if (s[j] === nothing) continue
      const p = Math.exp(s[j] - max) / sum
      entropy -= p * (s[j] - max - logSum)
      addRow(t.output, row.index, keepFactor(a, keys, j) * p, t.v, row.firstKey + j, a.dimV)
    }
    t.logsumexp[row.index] = max + logSum
    if (t.entropy) t.entropy[row.index] = entropy
    writeMaps(t, a, row, s)
  }
}

/**
 * Differentiates attentionForward; p is not stored but computed again from logsumexp:
 *
 *   p = exp(s − logsumexp)
 *   dV[j] += z·p·dO[i]                                    of  output = Σ z·p·v
 *   dB = p·(z·dO[i]·v[j] − delta − c·(s − logsumexp + H))  see score-gradient.ts
 *   dS = dB·(1 − tanh²)                                   of the softcap
 *   dQ[i] += scale·dS·k[j]      dK[j] += scale·dS·q[i]      of  scale·q·k
 *
 * dO gradOutput, H entropy, c its coefficient in the loss, delta[i] = Σ_d output·dO.
 *
 * Hazard: a pair that is not attended has p = 0, but what stands in its q, k, v and dO may be NaN: it is skipped, and
 * so is delta of a row that attends to nothing.
 *
 * A unit is KEY_BLOCK keys against one query head (the numbering: op.ts). It adds to gradQ of its head (or the
 * part's own of gradQParts), which the part's first key block has set to zero, and to gradK and gradV of its keys, which the group's member 0 has set to
 * zero: that addition over the group is the gradient of query heads sharing one kv head. delta is written by each part's first.
 * Source: the chain rule; delta after Dao et al. 2022 (FlashAttention, B.2): rowsum(P ⊙ dP) = rowsum(O ⊙ dO).
 */
export function attentionBackward(t: BackwardTensors, a: BackwardArgs, from: number, to: number): void {
  const group = a.heads / a.kvHeads
  const { parts } = a
  const blocks = Math.max(1, Math.ceil(Math.ceil(a.keys / KEY_BLOCK) / parts))
  const rows = a.batch * a.heads * a.queries
  for (let unit = from; unit < to; unit++) {
    const member = unit % group
    const first = Math.floor(unit / group) % blocks === 0
    const part = Math.floor(unit / (group * blocks)) % parts
    const block = part * blocks + (Math.floor(unit / group) % blocks)
    const batchKvHead = Math.floor(unit / (group * blocks * parts))
    const b = Math.floor(batchKvHead / a.kvHeads)
    const h = (batchKvHead % a.kvHeads) * group + member
    const begin = Math.min(block * KEY_BLOCK, a.keys)
    const end = Math.min(begin + KEY_BLOCK, a.keys)
    const gradQ = part === 0 ? t.gradQ : t.gradQParts
    const partRows = Math.max(0, part - 1) * rows

    if (member === 0) {
      const firstKey = batchKvHead * a.keys
      t.gradK?.fill(0, (firstKey + begin) * a.dimK, (firstKey + end) * a.dimK)
      t.gradV?.fill(0, (firstKey + begin) * a.dimV, (firstKey + end) * a.dimV)
    }

    for (let i = 0; i < a.queries; i++) {
      const row = queryRow(t, a, b, h, i)
      const gradRow = partRows + row.index
      if (first) {
        t.delta[part * rows + row.index] = deltaOf(t, a, row)
        gradQ?.fill(0, gradRow * a.dimK, (gradRow + 1) * a.dimK)
      }
      const delta = t.delta[part * rows + row.index]
      const keys = dropoutKeys(a, row.index)
      for (let j = Math.max(row.lo, begin); j < Math.min(row.hi, end); j++) {
        const s = maskedScore(t, a, row, j)
        if (s === nothing) continue
        const key = row.firstKey + j
        const z = keepFactor(a, keys, j)

        const p = Math.exp(s - t.logsumexp[row.index])
        if (t.gradV) addRow(t.gradV, key, z * p, t.gradOutput, row.index, a.dimV)

        const gradBias = gradMaskedScore(t, a, row, j, { s, p, z, delta })
        const gradScore =
          a.softcap > 0 ? gradBias * softcapBackward(scaledScore(t, a, row, j), a.softcap) : gradBias
        if (gradQ) addRow(gradQ, gradRow, a.scale * gradScore, t.k, key, a.dimK)
        if (t.gradK) addRow(t.gradK, key, a.scale * gradScore, t.q, row.index, a.dimK)
      }
    }
  }
}
