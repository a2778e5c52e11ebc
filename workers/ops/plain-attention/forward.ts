import { type QueryRow, queryRows } from '../attention/reference/attended.ts'
import { dropoutKeys, keepFactor } from '../dropout.ts'
import type { PlainArgs, PlainForwardTensors } from './op.ts'
import { type Round, roundingOf } from './rounding.ts'
import { product, type RowOfScores, rowOfScores, scaleRow, scoreRow } from './scores.ts'

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
    const { masked } = scores
    const max = extremesOf(t, row, masked)
    if (t.maxima) t.maxima[row.index] = max
    weights.fill(0)
    sums.fill(0)
    let total = 0
    for (let j = row.lo; j < row.hi; j++)
      if (masked[j] !== NOTHING) total = f(total + f(Math.exp(f(masked[j] - max))))
    let entropy = 0
    const keys = dropoutKeys(a, row.index)
    for (let j = row.lo; j < row.hi; j++) {
      if (masked[j] === NOTHING) continue
      const p = round(f(Math.exp(f(masked[j] - max))) / total)
      weights[j] = p
      if (p > 0) entropy = f(entropy - p * f(Math.log(p)))
      const kept = round(p * keepFactor(a, keys, j))
      const at = (row.firstKey + j) * a.dimV
      for (let d = 0; d < a.dimV; d++) sums[d] += kept * t.v[at + d]
    }
    for (let d = 0; d < a.dimV; d++) t.output[row.index * a.dimV + d] = round(sums[d])
    t.denominator.set([max, total], 2 * row.index)
    t.logsumexp[row.index] = total === 0 ? NOTHING : round(f(max + f(Math.log(total))))
    if (t.entropy) t.entropy[row.index] = round(entropy)
    writeMaps(t, a, row, round, scores, weights)
  }
}

/** Writes the row's extremes; returns the largest score, NaN where one is NaN. */
function extremesOf(t: PlainForwardTensors, row: QueryRow, masked: Float32Array): number {
  let [max, second, least] = [NOTHING, NOTHING, Number.POSITIVE_INFINITY]
  for (let j = row.lo; j < row.hi; j++) {
    const s = masked[j]
    if (s === NOTHING) continue
    second = Math.max(second, Math.min(max, s))
    max = Math.max(max, s)
    least = Math.min(least, s)
  }
  t.extremes.set([max, second, max === NOTHING ? NOTHING : least], 3 * row.index)
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
  if (t.scores) {
    scaleRow(t, a, row, round, scores)
    for (let j = 0; j < a.keys; j++) {
      t.scores[begin + j] = product(scores.scaled, t.k, (row.firstKey + j) * a.dimK, round)
    }
  }
  const keys = dropoutKeys(a, row.index)
  for (let j = 0; j < a.keys; j++) {
    const within = row.lo <= j && j < row.hi
    if (t.maskedScores) t.maskedScores[begin + j] = within ? scores.masked[j] : NOTHING
    if (t.weights) t.weights[begin + j] = weights[j]
    if (t.droppedWeights) t.droppedWeights[begin + j] = round(weights[j] * keepFactor(a, keys, j))
  }
}
