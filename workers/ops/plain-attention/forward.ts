import { type QueryRow, queryRows } from '../attention/reference/attended.ts'
import { dropoutKeys, keepFactor } from '../dropout.ts'
import type { PlainArgs, PlainForwardTensors } from './op.ts'
import { rowProducts } from './products.ts'
import { type Round, roundingOf } from './rounding.ts'
import { type RowOfScores, rowOfScores, scoreRow } from './scores.ts'

const NOTHING = Number.NEGATIVE_INFINITY
const f = Math.fround

/**
 * attentionForward (attention/reference/attention.ts), with r the rounding to the dtype and every sum in float32:
 *
 *   s = r(Σ r(scale·q)·k)   s = r(cap·r(tanh(r(s/cap))))   s = r(s + bias)
 *   p = r(e/Σ e), e = exp(s − max) in float32   output = r(Σ r(z·p)·v)
 */
export function plainForward(t: PlainForwardTensors, a: PlainArgs, from: number, to: number): void {
  const round = roundingOf(a.dtype)
  const scores = rowOfScores(a)
  const weights = new Float32Array(a.keys)
  const sums = new Float32Array(a.dimV)
  for (const row of queryRows(t, a, from, to)) {
    scoreRow(t, a, row, round, scores)
    const { masked, keys: listed, count } = scores
    const max = extremesOf(t, row, scores)
    if (t.maxima) t.maxima[row.index] = max
    weights.fill(0)
    sums.fill(0)
    let total = 0
    for (let n = 0; n < count; n++) {
      const j = listed[n]
      weights[j] = Math.exp(f(masked[j] - max))
      total = f(total + weights[j])
    }
    let entropy = 0
    const keys = dropoutKeys(a, row.index)
    for (let n = 0; n < count; n++) {
      const j = listed[n]
      const p = round(weights[j] / total)
      weights[j] = p
      if (t.entropy && p !== 0) entropy = f(entropy - p * f(Math.log(p)))
      const kept = round(p * keepFactor(a, keys, j))
      const at = (row.firstKey + j) * a.dimV
      for (let d = 0; d < a.dimV; d++) sums[d] += kept * t.v[at + d]
    }
    for (let d = 0; d < a.dimV; d++) t.output[row.index * a.dimV + d] = round(sums[d])
    t.denominator.set([max, total], 2 * row.index)
    t.logsumexp[row.index] = count === 0 ? NOTHING : round(f(max + f(Math.log(total))))
    if (t.entropy) t.entropy[row.index] = round(entropy)
    if (t.scores || t.maskedScores || t.weights || t.droppedWeights)
      writeMaps(t, a, row, round, scores, weights)
  }
}

/** Writes the row's extremes; returns the largest score, NaN where one is NaN. */
function extremesOf(t: PlainForwardTensors, row: QueryRow, { masked, keys, count }: RowOfScores): number {
  let [max, second, least] = [NOTHING, NOTHING, Number.POSITIVE_INFINITY]
  for (let n = 0; n < count; n++) {
    const s = masked[keys[n]]
    second = Math.max(second, Math.min(max, s))
    max = Math.max(max, s)
    least = Math.min(least, s)
  }
  t.extremes.set([max, second, count === 0 ? NOTHING : least], 3 * row.index)
  return max
}

function writeMaps(
  t: PlainForwardTensors,
  a: PlainArgs,
  row: QueryRow,
  round: Round,
  scores: RowOfScores,
  weights: Float32Array,
): void {
  const begin = row.index * a.keys
  const { keys: listed, count, masked, scaled } = scores
  if (t.maskedScores) {
    t.maskedScores.fill(NOTHING, begin, begin + a.keys)
    for (let n = 0; n < count; n++) t.maskedScores[begin + listed[n]] = masked[listed[n]]
  }
  const keys = dropoutKeys(a, row.index)
  for (let j = 0; j < a.keys; j++) {
    if (t.weights) t.weights[begin + j] = weights[j]
    if (t.droppedWeights) t.droppedWeights[begin + j] = round(weights[j] * keepFactor(a, keys, j))
  }
  if (t.scores === undefined) return
  const all = { keys: Int32Array.from({ length: a.keys }, (_, j) => j), count: a.keys }
  rowProducts(scaled, 0, t.k, row.firstKey * a.dimK, a.dimK, all, masked)
  for (let j = 0; j < a.keys; j++) t.scores[begin + j] = round(masked[j])
}
