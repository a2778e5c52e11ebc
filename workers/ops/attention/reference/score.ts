/**
 * What the softmax sees of one pair (query row i, key j of the row's interval):
 *
 *   s = Σ_d (scale·q[i,d])·k[j,d]        scaledScore
 *   s = softcap·tanh(s/softcap)          where softcap > 0
 *   s = s + Σ biases                     float mask, ALiBi, one for the distance
 *   s = −∞                               where a mask says so
 *
 * Hazard: q·k may overflow where scale·q·k does not, so q is scaled first.
 * Hazard: NaN or ∞ behind a mask must not come through (−∞ + NaN is NaN), so the masks are asked first, and q and k are
 * not read for a pair that is masked. −∞ is the only value that means "not attended".
 */

import type { AttentionArgs, ScoreTensors } from '../op.ts'
import { allowedByDenseMasks, keyRow, maskIndex, type QueryRow } from './attended.ts'

type Bias = (t: ScoreTensors, a: AttentionArgs, row: QueryRow, j: number) => number

const floatMask: Bias = (t, a, row, j) => (a.maskKind === 'float' ? t.mask![maskIndex(a, row, j)] : 0)

/** Attention with linear biases: −slope[h]·|aligned i − j| (Press, Smith and Lewis 2022). */
const alibi: Bias = (t, _, row, j) =>
  t.slopes === undefined ? 0 : -t.slopes[row.h] * Math.abs(row.aligned - j)

/** A number for each distance j − aligned i and head. */
const ofDistance: Bias = (t, a, row, j) =>
  t.distanceBiases === undefined
    ? 0
    : t.distanceBiases[row.h * a.distances + j - row.aligned - a.firstDistance]

const biases: readonly Bias[] = [floatMask, alibi, ofDistance]

/** scale·q·k, before anything else. */
export function scaledScore({ q, k }: ScoreTensors, a: AttentionArgs, row: QueryRow, j: number): number {
  const qAt = row.at * a.dimK
  const kAt = keyRow(row, j) * a.dimK
  let sum = 0
  for (let d = 0; d < a.dimK; d++) sum += a.scale * q[qAt + d] * k[kAt + d]
  return sum
}

/** c·tanh(s/c); c = 0 leaves s as it is. */
export function softcapForward(s: number, c: number): number {
  return c > 0 ? c * Math.tanh(s / c) : s
}

/** The derivative of softcapForward at s for c > 0: 1 − tanh²(s/c). */
export function softcapBackward(s: number, c: number): number {
  return 1 - Math.tanh(s / c) ** 2
}

/** The score after softcap, biases and masks; −∞ exactly where the pair is not attended. */
export function maskedScore(t: ScoreTensors, a: AttentionArgs, row: QueryRow, j: number): number {
  if (!allowedByDenseMasks(t, a, row, j)) return Number.NEGATIVE_INFINITY
  let bias = 0
  for (const biasOf of biases) {
    const b = biasOf(t, a, row, j)
    if (b === Number.NEGATIVE_INFINITY) return b
    bias += b
  }
  return softcapForward(scaledScore(t, a, row, j), a.softcap) + bias
}

/** The weight of an attended pair: exp(s − m)/Σ. */
export function weightOf({ denominator }: { denominator: Float64Array }, row: QueryRow, s: number): number {
  return Math.exp(s - denominator[2 * row.index]) / denominator[2 * row.index + 1]
}
