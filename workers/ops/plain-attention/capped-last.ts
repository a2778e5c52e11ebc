/**
 * Attention whose softcap comes after the masks, as kernels have it by mistake: a masked score is −∞ before it and −cap behind it, so
 * that the pair is attended after all. In float64, or rounded to a dtype as a plain evaluation rounds.
 */
import {
  allowedByDenseMasks,
  maskIndex,
  type QueryRow,
  queryRow,
  queryRows,
} from '../attention/reference/attended.ts'
import { dropoutKeys, keepFactor } from '../dropout.ts'
import type { CappedArgs, CappedBackwardArgs, CappedBackwardTensors, CappedForwardTensors } from './op.ts'
import { type Round, roundingOf } from './rounding.ts'

type ScoreTensors = Pick<
  CappedForwardTensors,
  'q' | 'k' | 'mask' | 'slopes' | 'distanceBiases' | 'intervals'
> &
  Omit<CappedForwardTensors, 'v' | 'output' | 'denominator' | 'logsumexp' | 'extremes'>

interface Arithmetic {
  /** of what is stored, and of what is summed */
  round: Round
  f: Round
}

function arithmeticOf({ dtype }: CappedArgs): Arithmetic {
  const round = roundingOf(dtype)
  return { round, f: dtype === 'exact' ? round : Math.fround }
}

/** Σ_d factor·x[at + d]·y[from + d], the factor rounded into x first. */
function product(
  x: ArrayLike<number>,
  at: number,
  y: ArrayLike<number>,
  from: number,
  count: number,
  f: Round,
  factor = (value: number) => value,
): number {
  let sum = 0
  for (let d = 0; d < count; d++) sum = f(sum + factor(x[at + d]) * y[from + d])
  return sum
}

/** The score of a pair before anything else, and that behind the softcap. */
function scoreOf(t: ScoreTensors, a: CappedArgs, row: QueryRow, j: number, { round, f }: Arithmetic) {
  const scaled = (value: number) => round(a.scale * value)
  const raw = round(product(t.q, row.at * a.dimK, t.k, (row.firstKey + j) * a.dimK, a.dimK, f, scaled))
  let bias = j < row.lo || j >= row.hi || !allowedByDenseMasks(t, a, row, j) ? Number.NEGATIVE_INFINITY : 0
  if (a.maskKind === 'float') bias += t.mask![maskIndex(a, row, j)]
  if (t.slopes) bias -= t.slopes[row.h] * Math.abs(row.aligned - j)
  if (t.distanceBiases) {
    bias += t.distanceBiases[row.h * a.distances + j - row.aligned - a.firstDistance]
  }
  const masked = Number.isNaN(bias) || bias === Number.NEGATIVE_INFINITY ? bias : round(raw + bias)
  return { raw, capped: round(a.softcap * Math.tanh(masked / a.softcap)) }
}

export function cappedForward(t: CappedForwardTensors, a: CappedArgs, from: number, to: number): void {
  const arithmetic = arithmeticOf(a)
  const { round, f } = arithmetic
  const scores = new Float64Array(a.keys)
  for (const row of queryRows(t, a, from, to)) {
    const begin = row.index * a.keys
    let [max, least, second] = [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]
    for (let j = 0; j < a.keys; j++) {
      const { raw, capped } = scoreOf(t, a, row, j, arithmetic)
      scores[j] = capped
      second = Math.max(second, Math.min(max, capped))
      max = Math.max(max, capped)
      least = Math.min(least, capped)
      if (t.scores) t.scores[begin + j] = raw
    }
    let total = 0
    for (const score of scores) total = f(total + f(Math.exp(f(score - max))))
    const sums = new Float64Array(a.dimV)
    const keys = dropoutKeys(a, row.index)
    let entropy = 0
    for (let j = 0; j < a.keys; j++) {
      const p = round(f(Math.exp(f(scores[j] - max))) / total)
      const dropped = round(p * keepFactor(a, keys, j))
      if (p !== 0) entropy = f(entropy - p * f(Math.log(p)))
      const at = (row.firstKey + j) * a.dimV
      for (let d = 0; d < a.dimV; d++) sums[d] = f(sums[d] + dropped * t.v[at + d])
      if (t.weights) t.weights[begin + j] = p
      if (t.droppedWeights) t.droppedWeights[begin + j] = dropped
      if (t.maskedScores) t.maskedScores[begin + j] = scores[j]
    }
    for (let d = 0; d < a.dimV; d++) t.output[row.at * a.dimV + d] = round(sums[d])
    t.denominator.set([max, total], 2 * row.index)
    t.logsumexp[row.index] = a.keys === 0 ? max : round(f(max + f(Math.log(total))))
    if (t.entropy) t.entropy[row.index] = round(entropy)
    if (t.maxima) t.maxima[row.index] = max
    t.extremes.set([max, second, a.keys === 0 ? max : least], 3 * row.index)
  }
}

/** The gradients of that: dS = p·(dP − delta)·(1 − tanh²), 0 where the pair is masked. Losses of entropies have no part. */
export function cappedBackward(
  t: CappedBackwardTensors,
  a: CappedBackwardArgs,
  from: number,
  to: number,
): void {
  const arithmetic = arithmeticOf(a)
  const { round, f } = arithmetic
  const group = a.heads / a.kvHeads
  const rows = a.batch * a.heads * a.queries
  const gradWeights = new Float64Array(a.keys)
  for (let unit = from; unit < to; unit++) {
    const ofK = new Float64Array(a.keys * a.dimK)
    const ofV = new Float64Array(a.keys * a.dimV)
    for (let at = 0; at < group * a.queries; at++) {
      const h = (unit % a.kvHeads) * group + Math.floor(at / a.queries)
      const row = queryRow(t, a, Math.floor(unit / a.kvHeads), h, at % a.queries)
      const [max, total] = t.denominator.subarray(2 * row.index, 2 * row.index + 2)
      const keys = dropoutKeys(a, row.index)
      const firstOutput = row.at * a.dimV
      const ofQ = new Float64Array(a.dimK)
      const scores = Array.from({ length: a.keys }, (_, j) => scoreOf(t, a, row, j, arithmetic).capped)
      const weights = scores.map(score => round(f(Math.exp(f(score - max))) / total))
      let delta = f(t.rowTerms?.[row.index] ?? 0)
      for (let j = 0; j < a.keys; j++) {
        const z = keepFactor(a, keys, j)
        const key = row.firstKey + j
        gradWeights[j] = round(z * product(t.gradOutput, firstOutput, t.v, key * a.dimV, a.dimV, f))
        delta = f(delta + weights[j] * gradWeights[j])
        const dropped = round(z * weights[j])
        for (let d = 0; d < a.dimV; d++) {
          ofV[j * a.dimV + d] = f(ofV[j * a.dimV + d] + dropped * t.gradOutput[firstOutput + d])
        }
      }
      for (let j = 0; j < a.keys; j++) {
        const gradWeight = gradWeights[j] + (t.weightTerms?.[row.index * a.keys + j] ?? 0)
        const tanh = scores[j] / a.softcap
        const gradScore = round(weights[j] * f(gradWeight - delta) * f(1 - tanh * tanh))
        const key = (row.firstKey + j) * a.dimK
        for (let d = 0; d < a.dimK; d++) {
          ofQ[d] = f(ofQ[d] + gradScore * t.k[key + d])
          const scaled = round(a.scale * t.q[row.at * a.dimK + d])
          ofK[j * a.dimK + d] = f(ofK[j * a.dimK + d] + gradScore * scaled)
        }
      }
      for (let d = 0; d < a.dimK && t.gradQ; d++) t.gradQ[row.at * a.dimK + d] = round(a.scale * ofQ[d])
      for (let part = 0; part < a.sums && t.gradQParts; part++) {
        const begin = (part * rows + row.at) * a.dimK
        t.gradQParts.fill(0, begin, begin + a.dimK)
      }
    }
    t.gradK?.set(ofK.map(round), unit * a.keys * a.dimK)
    t.gradV?.set(ofV.map(round), unit * a.keys * a.dimV)
  }
}
