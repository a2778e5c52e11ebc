/** The gradients of scaled dot-product attention, row by row. */

import { KEY_BLOCK } from '../../../layout.ts'
import type { Reals } from '../../define-op.ts'
import { dropoutKeys, keepFactor } from '../../dropout.ts'
import { addRow } from '../../rows.ts'
import type { BackwardArgs, BackwardTensors } from '../op.ts'
import { keyRow, type QueryRow, queryRow } from './attended.ts'
import { maskedScore, scaledScore, softcapBackward, weightOf } from './score.ts'
import { deltaOf, gradMaskedScore } from './score-gradient.ts'

/** Key blocks [begin, end) of one unit against query head h, and where its gradients of q go. */
interface Unit {
  begin: number
  end: number
  gradQ: Reals | undefined
  /** rows of gradQ before those of its part, and of delta before those of its chain */
  partRows: number
  deltaRows: number
}

/**
 * Differentiates attentionForward; p is not stored but computed again from the row's denominator (m, Σ):
 *
 *   p = exp(s − m)/Σ
 *   dV[j] += z·p·dO[i]                                    of  output = Σ z·p·v
 *   dB = p·(z·dO[i]·v[j] − delta − c·(ln p + H))           see score-gradient.ts
 *   dS = dB·(1 − tanh²)                                   of the softcap
 *   dQ[i] += scale·Σ_j dS·k[j]      dK[j] += dS·(scale·q[i])      of  (scale·q)·k, block by block of the keys j
 *
 * dO gradOutput, H entropy, c its coefficient in the loss, delta[i] = Σ_d output·dO.
 *
 * Hazard: a pair that is not attended has p = 0, but what stands in its q, k, v and dO may be NaN: it is skipped, and
 * so is delta of a row that attends to nothing. Scale and dS together may underflow where dS·q·scale does not.
 *
 * A unit is KEY_BLOCK keys against one query head (the numbering: op.ts). It adds to gradQ of its head (or the
 * part's own of gradQParts), which the part's first key block has set to zero, and to gradK and gradV of its keys, which the
 * group's member 0 has set to zero: that addition over the group is the gradient of query heads sharing one kv head.
 * Source: the chain rule; delta after Dao et al. 2022 (FlashAttention, B.2): rowsum(P ⊙ dP) = rowsum(O ⊙ dO).
 */
export function attentionBackward(t: BackwardTensors, a: BackwardArgs, from: number, to: number): void {
  const group = a.heads / a.kvHeads
  const { parts, apart } = a
  const blocks = Math.max(1, Math.ceil(Math.ceil(a.keys / KEY_BLOCK) / parts))
  const rows = a.batch * a.heads * a.queries
  for (let unit = from; unit < to; unit++) {
    const member = unit % group
    const blockOfPart = Math.floor(unit / group) % blocks
    const part = Math.floor(unit / (group * blocks)) % parts
    const block = part * blocks + blockOfPart
    const batchKvHead = Math.floor(unit / (group * blocks * parts))
    const b = Math.floor(batchKvHead / a.kvHeads)
    const h = (batchKvHead % a.kvHeads) * group + member
    const begin = Math.min(block * KEY_BLOCK, a.keys)
    const end = Math.min(begin + KEY_BLOCK, a.keys)
    const gradQ = part === 0 ? t.gradQ : t.gradQParts
    const partRows = apart ? Math.max(0, part - 1) * rows : 0
    const deltaRows = apart ? part * rows : 0
    const own: Unit = { begin, end, gradQ, partRows, deltaRows }

    if (member === 0) {
      const head = queryRow(t, a, b, h, 0)
      for (let j = begin; j < end; j++) {
        const key = keyRow(head, j)
        t.gradK?.fill(0, key * a.dimK, (key + 1) * a.dimK)
        t.gradV?.fill(0, key * a.dimV, (key + 1) * a.dimV)
      }
    }
    for (let i = 0; i < a.queries; i++) {
      const row = queryRow(t, a, b, h, i)
      if (blockOfPart === 0) {
        const gradRow = partRows + row.at
        gradQ?.fill(0, gradRow * a.dimK, (gradRow + 1) * a.dimK)
        if (apart || part === 0) t.delta[deltaRows + row.index] = deltaOf(t, a, row)
      }
      addRowGradients(t, a, row, own)
      if (!apart && part > 0 && blockOfPart === blocks - 1 && t.gradQ && gradQ) {
        addRow(t.gradQ, row.at, 1, gradQ, row.at, a.dimK)
      }
    }
  }
}

/** Adds what the pairs of one row and the unit's keys give. */
function addRowGradients(t: BackwardTensors, a: BackwardArgs, row: QueryRow, unit: Unit): void {
  const delta = t.delta[unit.deltaRows + row.index]
  const keys = dropoutKeys(a, row.index)
  const scaled = t.q.slice(row.at * a.dimK, (row.at + 1) * a.dimK).map(x => a.scale * x)
  const sum = new Float64Array(a.dimK)
  for (let j = Math.max(row.lo, unit.begin); j < Math.min(row.hi, unit.end); j++) {
    const s = maskedScore(t, a, row, j)
    if (s === Number.NEGATIVE_INFINITY) continue
    const key = keyRow(row, j)
    const z = keepFactor(a, keys, j)
    const p = weightOf(t, row, s)
    if (t.gradV) addRow(t.gradV, key, z * p, t.gradOutput, row.at, a.dimV)

    const gradBias = gradMaskedScore(t, a, row, j, { s, p, z, delta })
    const gradScore =
      a.softcap > 0 ? gradBias * softcapBackward(scaledScore(t, a, row, j), a.softcap) : gradBias
    addRow(sum, 0, gradScore, t.k, key, a.dimK)
    if (t.gradK) addRow(t.gradK, key, gradScore, scaled, 0, a.dimK)
  }
  if (unit.gradQ) addRow(unit.gradQ, unit.partRows + row.at, a.scale, sum, 0, a.dimK)
}
