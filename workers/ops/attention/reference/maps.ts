import { dropoutKeys, keepFactor } from '../../dropout.ts'
import type { AttentionArgs, MapsTensors } from '../op.ts'
import { type QueryRow, queryRows } from './attended.ts'
import { maskedScore, scaledScore, weightOf } from './score.ts'

const nothing = Number.NEGATIVE_INFINITY

/**
 * The maps [batch, heads, queries, keys], each when asked for:
 *
 *   scores = scale·q·k for every pair, masked or not
 *   maskedScores = s, what the softmax sees; −∞ where not attended
 *   weights = exp(s − m)/Σ with the row's denominator (m, Σ); 0 where not attended
 *   droppedWeights = z·weights, z = dropout's 0 or 1/(1−p)
 *
 * Hazard: −∞ − (−∞) in a row that attends to nothing would be NaN: pairs that are not attended are 0 without arithmetic.
 * Writes every element of the maps it is given.
 */
export function attentionMaps(t: MapsTensors, a: AttentionArgs, from: number, to: number): void {
  const s = new Float64Array(a.keys)
  for (const row of queryRows(t, a, from, to)) {
    for (let j = row.lo; j < row.hi; j++) s[j] = maskedScore(t, a, row, j)
    writeMaps(t, a, row, s)
  }
}

/** A row of every map, from the row's masked scores s[lo … hi) and its denominator. */
export function writeMaps(t: MapsTensors, a: AttentionArgs, row: QueryRow, masked: Float64Array): void {
  if (!t.scores && !t.maskedScores && !t.weights && !t.droppedWeights) return
  const keys = dropoutKeys(a, row.index)
  for (let j = 0; j < a.keys; j++) {
    const at = row.index * a.keys + j
    const s = row.lo <= j && j < row.hi ? masked[j] : nothing
    const p = s === nothing ? 0 : weightOf(t, row, s)
    if (t.scores) t.scores[at] = scaledScore(t, a, row, j)
    if (t.maskedScores) t.maskedScores[at] = s
    if (t.weights) t.weights[at] = p
    if (t.droppedWeights) t.droppedWeights[at] = keepFactor(a, keys, j) * p
  }
}
