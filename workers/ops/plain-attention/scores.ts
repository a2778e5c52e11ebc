/** A row of masked scores, and of what comes between them and the products. */
import { allowedByDenseMasks, maskIndex, type QueryRow } from '../attention/reference/attended.ts'
import type { PlainArgs, PlainForwardTensors } from './op.ts'
import type { Round } from './rounding.ts'

type ScoreTensors = Omit<PlainForwardTensors, 'v' | 'output' | 'denominator' | 'logsumexp' | 'extremes'>

const NOTHING = Number.NEGATIVE_INFINITY
const f = Math.fround

/** Work areas of a call, a row at a time. */
export interface RowOfScores {
  /** scale·q, rounded */
  scaled: Float32Array
  /** of the keys of a head: masked scores, and the softcap's tanh */
  masked: Float32Array
  tanh: Float32Array
}

export function rowOfScores({ keys, dimK }: { keys: number; dimK: number }): RowOfScores {
  return { scaled: new Float32Array(dimK), masked: new Float32Array(keys), tanh: new Float32Array(keys) }
}

/** scale·q·k; the row's scale·q stands in `scaled` already. */
export function product(scaled: Float32Array, k: ArrayLike<number>, at: number, round: Round): number {
  let sum = 0
  for (let d = 0; d < scaled.length; d++) sum = f(sum + scaled[d] * k[at + d])
  return round(sum)
}

export function scaleRow(
  t: ScoreTensors,
  a: PlainArgs,
  row: QueryRow,
  round: Round,
  into: RowOfScores,
): void {
  for (let d = 0; d < a.dimK; d++) into.scaled[d] = round(f(a.scale) * t.q[row.index * a.dimK + d])
}

/** Fills in masked[lo … hi), and tanh where there is a softcap; −∞ where a pair is not attended, whatever stands there. */
export function scoreRow(
  t: ScoreTensors,
  a: PlainArgs,
  row: QueryRow,
  round: Round,
  into: RowOfScores,
): void {
  scaleRow(t, a, row, round, into)
  const { scaled, masked, tanh } = into
  const cap = f(a.softcap)
  for (let j = row.lo; j < row.hi; j++) {
    masked[j] = NOTHING
    if (!allowedByDenseMasks(t, a, row, j)) continue
    const ofMask = a.maskKind === 'float' ? t.mask![maskIndex(a, row, j)] : 0
    if (ofMask === NOTHING) continue
    let score = product(scaled, t.k, (row.firstKey + j) * a.dimK, round)
    if (cap > 0) {
      tanh[j] = round(Math.tanh(round(score / cap)))
      score = round(cap * tanh[j])
    }
    if (a.maskKind === 'float') score = round(score + ofMask)
    if (t.slopes) score = round(score - round(t.slopes[row.h] * Math.abs(row.aligned - j)))
    if (t.distanceBiases) {
      const at = row.h * a.distances + j - row.aligned - a.firstDistance
      score = round(score + t.distanceBiases[at])
    }
    masked[j] = score
  }
}
