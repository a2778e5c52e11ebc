import { queryRow } from '../attention/reference/attended.ts'
import { dropoutKeys, keepFactor } from '../dropout.ts'
import type { PlainBackwardArgs, PlainBackwardTensors } from './op.ts'
import { rowProducts } from './products.ts'
import { type Round, roundingOf } from './rounding.ts'
import { type RowOfScores, rowOfScores, scoreRow } from './scores.ts'

const f = Math.fround

/** What a query head adds up for the keys of its group, in float32, and a row for itself. */
interface Sums {
  k: Float32Array
  v: Float32Array
  q: Float32Array
  /** of the row's pairs */
  weights: Float32Array
  gradWeights: Float32Array
}

/**
 * attentionBackward (attention/reference/backward.ts), with r the rounding to the dtype and every sum in float32:
 *
 *   dP = r(z·r(Σ dO·v))   delta = Σ p·dP   dB = r(p·(r(dP + ∂L/∂P) − delta − c·(ln p + H)))   dS = r(dB·r(1 − tanh²))
 *   dV = r(Σ_i r(z·p)·dO)   dK = r(Σ_i dS·r(scale·q))   dQ = r(scale·r(Σ_j dS·k))
 *
 * and the sums of a group's query heads rounded one after the other, as those of keys that were repeated for them.
 */
export function plainBackward(t: PlainBackwardTensors, a: PlainBackwardArgs, from: number, to: number): void {
  const round = roundingOf(a.dtype)
  const scores = rowOfScores(a)
  const sums = {
    k: new Float32Array(a.keys * a.dimK),
    v: new Float32Array(a.keys * a.dimV),
    q: new Float32Array(a.dimK),
    weights: new Float32Array(a.keys),
    gradWeights: new Float32Array(a.keys),
  }
  const group = a.heads / a.kvHeads
  const rows = a.batch * a.heads * a.queries
  for (let unit = from; unit < to; unit++) {
    const b = Math.floor(unit / a.kvHeads)
    for (let member = 0; member < group; member++) {
      const h = (unit % a.kvHeads) * group + member
      sums.k.fill(0)
      sums.v.fill(0)
      for (let i = 0; i < a.queries; i++) addRow(t, a, b, h, i, round, scores, sums)
      addTo(t.gradK, unit * a.keys * a.dimK, sums.k, member === 0, round)
      addTo(t.gradV, unit * a.keys * a.dimV, sums.v, member === 0, round)
      const firstRow = (b * a.heads + h) * a.queries
      for (let part = 0; t.gradQParts && part < a.sums; part++) {
        const begin = part * rows + firstRow
        t.gradQParts.fill(0, begin * a.dimK, (begin + a.queries) * a.dimK)
      }
    }
  }
}

function addTo(
  into: Float32Array | Float64Array | undefined,
  at: number,
  sums: Float32Array,
  first: boolean,
  round: Round,
): void {
  if (into === undefined) return
  for (let x = 0; x < sums.length; x++) {
    const own = round(sums[x])
    into[at + x] = first ? own : round(into[at + x] + own)
  }
}

/** The gradient of one query row's q, and what its pairs add to those of k and v. */
function addRow(
  t: PlainBackwardTensors,
  a: PlainBackwardArgs,
  b: number,
  h: number,
  i: number,
  round: Round,
  scores: RowOfScores,
  sums: Sums,
): void {
  const row = queryRow(t, a, b, h, i)
  scoreRow(t, a, row, round, scores)
  const { masked, scaled, tanh, keys: listed, count } = scores
  const [max, total] = [t.denominator[2 * row.index], t.denominator[2 * row.index + 1]]
  const firstOutput = row.index * a.dimV
  const keys = dropoutKeys(a, row.index)
  const { weights, gradWeights } = sums
  rowProducts(t.gradOutput, firstOutput, t.v, row.firstKey * a.dimV, a.dimV, scores, gradWeights)
  let delta = f(t.rowTerms?.[row.index] ?? 0)
  for (let n = 0; n < count; n++) {
    const j = listed[n]
    const z = keepFactor(a, keys, j)
    const p = round(f(Math.exp(f(masked[j] - max))) / total)
    weights[j] = p
    gradWeights[j] = round(z * round(gradWeights[j]))
    delta = f(delta + p * gradWeights[j])
    if (t.gradV === undefined) continue
    const dropped = round(z * p)
    for (let d = 0; d < a.dimV; d++) sums.v[j * a.dimV + d] += dropped * t.gradOutput[firstOutput + d]
  }
  const coefficient = f(t.scalars?.[1] ?? 0)
  const ofEntropy = coefficient === 0 ? 0 : f(f(t.entropy?.[row.index] ?? 0) - f(Math.log(total)))
  sums.q.fill(0)
  for (let n = 0; n < count; n++) {
    const j = listed[n]
    let gradWeight = gradWeights[j]
    if (t.weightTerms) gradWeight = round(gradWeight + t.weightTerms[row.index * a.keys + j])
    const entropyTerm = coefficient === 0 ? 0 : f(coefficient * f(f(masked[j] - max) + ofEntropy))
    let gradScore = round(weights[j] * f(f(gradWeight - delta) - entropyTerm))
    if (a.softcap > 0) gradScore = round(gradScore * round(1 - round(tanh[j] * tanh[j])))
    const atK = (row.firstKey + j) * a.dimK
    for (let d = 0; d < a.dimK; d++) sums.q[d] += gradScore * t.k[atK + d]
    if (t.gradK === undefined) continue
    for (let d = 0; d < a.dimK; d++) sums.k[j * a.dimK + d] += gradScore * scaled[d]
  }
  if (t.gradQ === undefined) return
  for (let d = 0; d < a.dimK; d++) t.gradQ[row.index * a.dimK + d] = round(f(a.scale) * round(sums.q[d]))
}
