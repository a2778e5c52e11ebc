/** A row of masked scores, and of what comes between them and the products. */

import type { AttentionArgs } from '../attention/op.ts'
import { allowedByDenseMasks, maskIndex, type QueryRow } from '../attention/reference/attended.ts'
import type { PlainArgs, PlainForwardTensors } from './op.ts'
import { type KeyList, rowProducts } from './products.ts'
import type { Round } from './rounding.ts'

type ScoreTensors = Omit<PlainForwardTensors, 'v' | 'output' | 'denominator' | 'logsumexp' | 'extremes'>

const NOTHING = Number.NEGATIVE_INFINITY
const f = Math.fround

/** Work areas of a call, a row at a time. */
export interface RowOfScores extends KeyList {
  /** scale·q, rounded */
  scaled: Float32Array
  /** of the keys of a head: masked scores, and the softcap's tanh; only those of the keys in the list */
  masked: Float32Array
  tanh: Float32Array
}

export function rowOfScores({ keys, dimK }: { keys: number; dimK: number }): RowOfScores {
  return {
    keys: new Int32Array(keys),
    count: 0,
    scaled: new Float32Array(dimK),
    masked: new Float32Array(keys),
    tanh: new Float32Array(keys),
  }
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

/** Lists the keys that the row attends to, and fills in their scores. What stands at the others is not read. */
export function scoreRow(
  t: ScoreTensors,
  a: PlainArgs,
  row: QueryRow,
  round: Round,
  into: RowOfScores,
): void {
  scaleRow(t, a, row, round, into)
  listKeys(t, a, row, into)
  const { scaled, masked, tanh, keys, count } = into
  rowProducts(scaled, 0, t.k, row.firstKey * a.dimK, a.dimK, into, masked)
  const cap = f(a.softcap)
  let left = 0
  for (let n = 0; n < count; n++) {
    const j = keys[n]
    let score = round(masked[j])
    if (cap > 0) {
      tanh[j] = round(Math.tanh(round(score / cap)))
      score = round(cap * tanh[j])
    }
    score = addBiases(t, a, row, j, score, round)
    masked[j] = score
    // a score of −∞, wherever it comes from, is a pair that is not attended
    if (score !== NOTHING) keys[left++] = j
  }
  into.count = left
}

/** The score with what is added to it, rounded each time. */
export function addBiases(
  t: ScoreTensors,
  a: AttentionArgs,
  row: QueryRow,
  j: number,
  score: number,
  round: Round,
): number {
  let sum = score
  if (a.maskKind === 'float') sum = round(sum + t.mask![maskIndex(a, row, j)])
  if (t.slopes) sum = round(sum - round(t.slopes[row.h] * Math.abs(row.aligned - j)))
  if (t.distanceBiases) {
    const at = row.h * a.distances + j - row.aligned - a.firstDistance
    sum = round(sum + t.distanceBiases[at])
  }
  return sum
}

export function listKeys(t: ScoreTensors, a: AttentionArgs, row: QueryRow, into: KeyList): void {
  let count = 0
  for (let j = row.lo; j < row.hi; j++) {
    if (!allowedByDenseMasks(t, a, row, j)) continue
    if (a.maskKind === 'float' && t.mask![maskIndex(a, row, j)] === NOTHING) continue
    into.keys[count++] = j
  }
  into.count = count
}
