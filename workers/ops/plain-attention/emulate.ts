/** Attention with the numbers that other hardware gives: each stage rounds what it stores, and what lies between is float64. */
import { type QueryRow, queryRows } from '../attention/reference/attended.ts'
import type { Reals } from '../define-op.ts'
import { dropoutKeys, keepFactor } from '../dropout.ts'
import { ELEMENT_BLOCK } from '../element-block.ts'
import type { CastArgs, CastTensors, EmulatedArgs, EmulatedTensors } from './op.ts'
import type { KeyList } from './products.ts'
import { type Round, roundingOf } from './rounding.ts'
import { addBiases, listKeys } from './scores.ts'

const NOTHING = Number.NEGATIVE_INFINITY

/** y = x, rounded to the dtype; y may be x itself. A unit is ELEMENT_BLOCK elements. */
export function castElements(t: CastTensors, a: CastArgs, from: number, to: number): void {
  const round = roundingOf(a.dtype)
  const end = Math.min(to * ELEMENT_BLOCK, a.count)
  for (let at = from * ELEMENT_BLOCK; at < end; at++) t.y[at] = round(t.x[at])
}

interface Rounds {
  scores: Round
  weights: Round
  sums: Round
  output: Round
}

/**
 * attentionForward (attention/reference/attention.ts), with a rounding r a stage:
 *
 *   s = r_scores(scale·Σ q·k)   s = r_scores(cap·tanh(s/cap))   s = r_scores(s + bias)
 *   p = r_weights(e/Σ e), e = exp(s − max)   output = r_output(Σ r_weights(z·p)·v)
 *
 * and every partial sum of the two products rounded to the type that they are accumulated in, from the first term to the last. The
 * units are attentionForward's.
 */
export function emulatedForward(t: EmulatedTensors, a: EmulatedArgs, from: number, to: number): void {
  const rounds = {
    scores: roundingOf(a.ofScores),
    weights: roundingOf(a.ofWeights),
    sums: roundingOf(a.ofSums),
    output: roundingOf(a.ofOutput),
  }
  const list: KeyList = { keys: new Int32Array(a.keys), count: 0 }
  const masked = new Float64Array(a.keys)
  const weights = new Float64Array(a.keys)
  for (const row of queryRows(t, a, from, to)) {
    scoreRow(t, a, row, rounds, list, masked)
    attendRow(t, a, row, rounds, list, masked, weights)
    writeMaps(t, a, row, rounds, list, masked, weights)
  }
}

function product(x: Reals, at: number, y: Reals, from: number, dim: number, round: Round): number {
  let sum = 0
  for (let d = 0; d < dim; d++) sum = round(sum + x[at + d] * y[from + d])
  return sum
}

function score(
  t: EmulatedTensors,
  a: EmulatedArgs,
  row: QueryRow,
  j: number,
  { scores, sums }: Rounds,
): number {
  const at = (row.firstKey + j) * a.dimK
  return scores(a.scale * product(t.q, row.index * a.dimK, t.k, at, a.dimK, sums))
}

/** Lists the keys that the row attends to, and fills in their scores. */
function scoreRow(
  t: EmulatedTensors,
  a: EmulatedArgs,
  row: QueryRow,
  rounds: Rounds,
  list: KeyList,
  masked: Float64Array,
): void {
  listKeys(t, a, row, list)
  let left = 0
  for (let n = 0; n < list.count; n++) {
    const j = list.keys[n]
    let s = score(t, a, row, j, rounds)
    if (a.softcap > 0) s = rounds.scores(a.softcap * Math.tanh(s / a.softcap))
    s = addBiases(t, a, row, j, s, rounds.scores)
    masked[j] = s
    if (s !== NOTHING) list.keys[left++] = j
  }
  list.count = left
}

function attendRow(
  t: EmulatedTensors,
  a: EmulatedArgs,
  row: QueryRow,
  rounds: Rounds,
  { keys: listed, count }: KeyList,
  masked: Float64Array,
  weights: Float64Array,
): void {
  let max = NOTHING
  for (let n = 0; n < count; n++) max = Math.max(max, masked[listed[n]])
  let total = 0
  weights.fill(0)
  for (let n = 0; n < count; n++) {
    const j = listed[n]
    weights[j] = Math.exp(masked[j] - max)
    total += weights[j]
  }
  let entropy = 0
  for (let n = 0; n < count; n++) {
    const j = listed[n]
    const p = rounds.weights(weights[j] / total)
    weights[j] = p
    if (p !== 0) entropy -= p * Math.log(p)
  }
  const keys = dropoutKeys(a, row.index)
  for (let d = 0; d < a.dimV; d++) {
    let sum = 0
    for (let n = 0; n < count; n++) {
      const j = listed[n]
      const kept = a.dropoutP === 0 ? weights[j] : rounds.weights(weights[j] * keepFactor(a, keys, j))
      sum = rounds.sums(sum + kept * t.v[(row.firstKey + j) * a.dimV + d])
    }
    t.output[row.index * a.dimV + d] = rounds.output(sum)
  }
  t.denominator.set([max, total], 2 * row.index)
  t.logsumexp[row.index] = count === 0 ? NOTHING : max + Math.log(total)
  if (t.entropy) t.entropy[row.index] = entropy
  if (t.maxima) t.maxima[row.index] = max
}

function writeMaps(
  t: EmulatedTensors,
  a: EmulatedArgs,
  row: QueryRow,
  rounds: Rounds,
  { keys: listed, count }: KeyList,
  masked: Float64Array,
  weights: Float64Array,
): void {
  const begin = row.index * a.keys
  if (t.maskedScores) {
    t.maskedScores.fill(NOTHING, begin, begin + a.keys)
    for (let n = 0; n < count; n++) t.maskedScores[begin + listed[n]] = masked[listed[n]]
  }
  if (t.weights) t.weights.set(weights, begin)
  const keys = dropoutKeys(a, row.index)
  for (let j = 0; j < a.keys; j++) {
    if (t.droppedWeights) t.droppedWeights[begin + j] = rounds.weights(weights[j] * keepFactor(a, keys, j))
    if (t.scores) t.scores[begin + j] = score(t, a, row, j, rounds)
  }
}
