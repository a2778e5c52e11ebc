/**
 * What attention's float64 reference computes (attention/reference), in float64, four keys at a time: sums of different keys do not wait
 * for each other. The formulas, and what must not be read, are the reference's.
 */
import {
  allowedByDenseMasks,
  maskIndex,
  type QueryRow,
  queryRow,
  queryRows,
} from '../attention/reference/attended.ts'
import { writeMaps } from '../attention/reference/maps.ts'
import { deltaOf, gradMaskedScore } from '../attention/reference/score-gradient.ts'
import type { Reals } from '../define-op.ts'
import { dropoutKeys, keepFactor } from '../dropout.ts'
import type { ExactArgs, ExactBackwardArgs, ExactBackwardTensors, ExactForwardTensors } from './op.ts'

type ScoreTensors = Omit<ExactForwardTensors, 'v' | 'output' | 'denominator' | 'logsumexp'>

const NOTHING = Number.NEGATIVE_INFINITY

/** Work areas of a call: of one row's attended keys, the first `count` of each. */
class Row {
  readonly keys: Int32Array
  readonly scores: Float64Array
  /** of the softcap */
  readonly tanh: Float64Array
  readonly weights: Float64Array
  readonly grads: Float64Array
  readonly scaled: Float64Array
  count = 0

  constructor({ keys, dimK }: ExactArgs) {
    this.keys = new Int32Array(keys)
    this.scores = new Float64Array(keys)
    this.tanh = new Float64Array(keys)
    this.weights = new Float64Array(keys)
    this.grads = new Float64Array(keys)
    this.scaled = new Float64Array(dimK)
  }
}

/** What is added to the score of a pair; −∞ where it is not attended. */
function biasOf(t: ScoreTensors, a: ExactArgs, row: QueryRow, j: number): number {
  if (!allowedByDenseMasks(t, a, row, j)) return NOTHING
  let bias = a.maskKind === 'float' ? t.mask![maskIndex(a, row, j)] : 0
  if (bias === NOTHING) return NOTHING
  if (t.slopes) bias -= t.slopes[row.h] * Math.abs(row.aligned - j)
  if (t.distanceBiases) {
    bias += t.distanceBiases[row.h * a.distances + j - row.aligned - a.firstDistance]
  }
  return bias
}

/** Lists the keys that the row attends to, with their scores. */
function scoreRow(t: ScoreTensors, a: ExactArgs, row: QueryRow, into: Row): void {
  const { keys, scores, tanh, scaled } = into
  for (let d = 0; d < a.dimK; d++) scaled[d] = a.scale * t.q[row.at * a.dimK + d]
  let count = 0
  // biases stand where the weights will
  for (let j = row.lo; j < row.hi; j++) {
    const bias = biasOf(t, a, row, j)
    if (bias === NOTHING) continue
    into.weights[count] = bias
    keys[count++] = j
  }
  products(scaled, 0, t.k, row.firstKey, a.dimK, keys, count, scores)
  let left = 0
  for (let n = 0; n < count; n++) {
    let score = scores[n]
    const tanhOf = a.softcap > 0 ? Math.tanh(score / a.softcap) : 0
    if (a.softcap > 0) score = a.softcap * tanhOf
    score += into.weights[n]
    // −∞, wherever it comes from, is a pair that is not attended
    if (score === NOTHING) continue
    keys[left] = keys[n]
    tanh[left] = tanhOf
    scores[left++] = score
  }
  into.count = left
}

/** into[n] = Σ_d x[at + d]·y[row of key n, d] */
function products(
  x: Reals,
  at: number,
  y: Reals,
  firstKey: number,
  dim: number,
  keys: Int32Array,
  count: number,
  into: Float64Array,
): void {
  let n = 0
  for (; n + 4 <= count; n += 4) {
    const a0 = (firstKey + keys[n]) * dim
    const a1 = (firstKey + keys[n + 1]) * dim
    const a2 = (firstKey + keys[n + 2]) * dim
    const a3 = (firstKey + keys[n + 3]) * dim
    let [s0, s1, s2, s3] = [0, 0, 0, 0]
    for (let d = 0; d < dim; d++) {
      const factor = x[at + d]
      s0 += factor * y[a0 + d]
      s1 += factor * y[a1 + d]
      s2 += factor * y[a2 + d]
      s3 += factor * y[a3 + d]
    }
    into[n] = s0
    into[n + 1] = s1
    into[n + 2] = s2
    into[n + 3] = s3
  }
  for (; n < count; n++) {
    const start = (firstKey + keys[n]) * dim
    let sum = 0
    for (let d = 0; d < dim; d++) sum += x[at + d] * y[start + d]
    into[n] = sum
  }
}

/** into[at + d] += Σ_n factors[n]·y[row of key n, d] */
function addRows(
  into: Reals,
  at: number,
  factors: Float64Array,
  y: Reals,
  firstKey: number,
  dim: number,
  keys: Int32Array,
  count: number,
): void {
  let n = 0
  for (; n + 4 <= count; n += 4) {
    const a0 = (firstKey + keys[n]) * dim
    const a1 = (firstKey + keys[n + 1]) * dim
    const a2 = (firstKey + keys[n + 2]) * dim
    const a3 = (firstKey + keys[n + 3]) * dim
    const [f0, f1, f2, f3] = [factors[n], factors[n + 1], factors[n + 2], factors[n + 3]]
    for (let d = 0; d < dim; d++) {
      into[at + d] += f0 * y[a0 + d] + f1 * y[a1 + d] + (f2 * y[a2 + d] + f3 * y[a3 + d])
    }
  }
  for (; n < count; n++) {
    const start = (firstKey + keys[n]) * dim
    for (let d = 0; d < dim; d++) into[at + d] += factors[n] * y[start + d]
  }
}

export function exactForward(t: ExactForwardTensors, a: ExactArgs, from: number, to: number): void {
  const own = new Row(a)
  const { keys, scores, weights } = own
  const all =
    t.scores || t.maskedScores || t.weights || t.droppedWeights ? new Float64Array(a.keys) : undefined
  for (const row of queryRows(t, a, from, to)) {
    scoreRow(t, a, row, own)
    const { count } = own
    let max = NOTHING
    for (let n = 0; n < count; n++) max = Math.max(max, scores[n])
    const first = row.at * a.dimV
    t.output.fill(0, first, first + a.dimV)
    let [total, entropy] = [0, 0]
    for (let n = 0; n < count; n++) {
      weights[n] = Math.exp(scores[n] - max)
      total += weights[n]
    }
    const logSum = Math.log(total)
    const dropped = dropoutKeys(a, row.index)
    for (let n = 0; n < count; n++) {
      const p = weights[n] / total
      entropy -= p * (scores[n] - max - logSum)
      weights[n] = p * keepFactor(a, dropped, keys[n])
    }
    if (max !== NOTHING) addRows(t.output, first, weights, t.v, row.firstKey, a.dimV, keys, count)
    t.denominator.set([max, max === NOTHING ? 0 : total], 2 * row.index)
    t.logsumexp[row.index] = max === NOTHING ? NOTHING : max + logSum
    if (t.entropy) t.entropy[row.index] = max === NOTHING ? 0 : entropy
    if (t.maxima) t.maxima[row.index] = max
    if (all === undefined) continue
    all.fill(NOTHING, row.lo, row.hi)
    for (let n = 0; n < count; n++) all[keys[n]] = scores[n]
    writeMaps(t, a, row, all)
  }
}

/** The gradients of that, a kv head after the other, with all query heads of its group. */
export function exactBackward(t: ExactBackwardTensors, a: ExactBackwardArgs, from: number, to: number): void {
  const own = new Row(a)
  const { keys, scores, tanh, weights, grads, scaled } = own
  const group = a.heads / a.kvHeads
  const rows = a.batch * a.heads * a.queries
  const coefficient = t.scalars?.[1] ?? 0
  for (let unit = from; unit < to; unit++) {
    t.gradK?.fill(0, unit * a.keys * a.dimK, (unit + 1) * a.keys * a.dimK)
    t.gradV?.fill(0, unit * a.keys * a.dimV, (unit + 1) * a.keys * a.dimV)
    for (let at = 0; at < group * a.queries; at++) {
      const h = (unit % a.kvHeads) * group + Math.floor(at / a.queries)
      const row = queryRow(t, a, Math.floor(unit / a.kvHeads), h, at % a.queries)
      const firstQ = row.at * a.dimK
      const firstO = row.at * a.dimV
      t.gradQ?.fill(0, firstQ, firstQ + a.dimK)
      for (let part = 0; t.gradQParts && part < a.sums; part++) {
        const begin = part * rows * a.dimK + firstQ
        t.gradQParts.fill(0, begin, begin + a.dimK)
      }
      scoreRow(t, a, row, own)
      const { count } = own
      const [max, total] = [t.denominator[2 * row.index], t.denominator[2 * row.index + 1]]
      if (count === 0 || total === 0) continue
      const delta = deltaOf(t, a, row)
      const dropped = dropoutKeys(a, row.index)
      const ofEntropy = coefficient === 0 ? 0 : (t.entropy?.[row.index] ?? 0) - Math.log(total)
      products(t.gradOutput, firstO, t.v, row.firstKey, a.dimV, keys, count, grads)
      for (let n = 0; n < count; n++) {
        const z = keepFactor(a, dropped, keys[n])
        const p = Math.exp(scores[n] - max) / total
        const ofWeight = t.weightTerms?.[row.index * a.keys + keys[n]] ?? 0
        let gradScore: number
        const difference = z * grads[n] + ofWeight - delta
        if (Number.isFinite(difference)) {
          const entropyTerm = coefficient === 0 ? 0 : coefficient * (scores[n] - max + ofEntropy)
          gradScore = p * (difference - entropyTerm)
        } else gradScore = gradMaskedScore(t, a, row, keys[n], { s: scores[n], p, z, delta })
        grads[n] = a.softcap > 0 ? gradScore * (1 - tanh[n] ** 2) : gradScore
        weights[n] = z * p
      }
      if (t.gradV) scatter(t.gradV, weights, t.gradOutput, firstO, row.firstKey, a.dimV, own)
      if (t.gradK) scatter(t.gradK, grads, scaled, 0, row.firstKey, a.dimK, own)
      if (t.gradQ === undefined) continue
      addRows(t.gradQ, firstQ, grads, t.k, row.firstKey, a.dimK, keys, count)
      for (let d = firstQ; d < firstQ + a.dimK; d++) t.gradQ[d] *= a.scale
    }
  }
}

/** into[row of key n, d] += factors[n]·x[at + d] */
function scatter(
  into: Reals,
  factors: Float64Array,
  x: Reals,
  at: number,
  firstKey: number,
  dim: number,
  { keys, count }: Row,
): void {
  for (let n = 0; n < count; n++) {
    const factor = factors[n]
    const start = (firstKey + keys[n]) * dim
    for (let d = 0; d < dim; d++) into[start + d] += factor * x[at + d]
  }
}
