/**
 * What a plain float32 program would compute: the formulas as they stand, loop by loop, every operation rounded. Its
 * distance from float64 is the yardstick for the kernels' own. Sums run in ascending or in descending order.
 */
import { mix } from '../../workers/ops/dropout.ts'
import type { AttentionCase } from './attention-case.ts'

const f = Math.fround
const NOTHING = Number.NEGATIVE_INFINITY

export const RESULTS = [
  'output',
  'logsumexp',
  'entropy',
  'maxima',
  'scores',
  'maskedScores',
  'weights',
  'droppedWeights',
  'gradQ',
  'gradK',
  'gradV',
  'gradMask',
] as const
export type Results = Record<(typeof RESULTS)[number], Float32Array>

export type Order = 'ascending' | 'descending'

/** Forward, maps and backward of a case (whose tensors are float32 numbers). */
export function plainFloat32(c: AttentionCase, order: Order): Results {
  const { args: a } = c
  const rows = a.batch * a.heads * a.queries
  const keyRows = a.batch * a.kvHeads * a.keys
  const r: Results = {
    output: new Float32Array(rows * a.dimV),
    gradQ: new Float32Array(rows * a.dimK),
    logsumexp: new Float32Array(rows),
    entropy: new Float32Array(rows),
    maxima: new Float32Array(rows),
    scores: new Float32Array(rows * a.keys),
    maskedScores: new Float32Array(rows * a.keys),
    weights: new Float32Array(rows * a.keys),
    droppedWeights: new Float32Array(rows * a.keys),
    gradK: new Float32Array(keyRows * a.dimK),
    gradV: new Float32Array(keyRows * a.dimV),
    gradMask: new Float32Array(c.gradMask?.length ?? 0),
  }
  const all = Array.from({ length: rows }, (_, row) => row)
  if (order === 'descending') all.reverse()
  for (const row of all) plainRow(c, order, row, r)
  return r
}

function plainRow(c: AttentionCase, order: Order, row: number, r: Results): void {
  const { args: a, spec } = c
  const b = Math.floor(row / (a.heads * a.queries))
  const h = Math.floor(row / a.queries) % a.heads
  const i = row % a.queries
  const firstKey = (b * a.kvHeads + Math.floor((h * a.kvHeads) / a.heads)) * a.keys
  const n = c.qLengths?.[b] ?? a.queries
  const m = c.kvLengths?.[b] ?? a.keys
  const aligned = spec.alignment === 'bottom_right' ? i + m - n : i + spec.pastKeys
  const index = (j: number) =>
    b * a.maskStrides[0] + h * a.maskStrides[1] + i * a.maskStrides[2] + j * a.maskStrides[3]
  const allowed = (j: number) =>
    i < n &&
    j < m &&
    (!spec.causal || j <= aligned) &&
    (spec.windowLeft < 0 || j >= aligned - spec.windowLeft) &&
    (spec.windowRight < 0 || j <= aligned + spec.windowRight) &&
    (a.maskKind !== 'bool' || c.mask![index(j)] !== 0)

  const cap = f(a.softcap)
  const tanh = new Float32Array(a.keys)
  const s = Array.from({ length: a.keys }, (_, j) => {
    let score = f(
      f(a.scale) * sum(order, a.dimK, d => f(c.q[row * a.dimK + d] * c.k[(firstKey + j) * a.dimK + d])),
    )
    r.scores[row * a.keys + j] = score
    if (cap > 0) {
      tanh[j] = Math.tanh(f(score / cap))
      score = f(cap * tanh[j])
    }
    if (a.maskKind === 'float') score = f(score + c.mask![index(j)])
    if (c.slopes) score = f(score - f(c.slopes[h] * Math.abs(aligned - j)))
    return allowed(j) ? score : NOTHING
  })
  r.maskedScores.set(s, row * a.keys)
  const attended = s.flatMap((score, j) => (score === NOTHING ? [] : [j]))
  const max = s.reduce((x, y) => Math.max(x, y), NOTHING)
  r.logsumexp[row] = NOTHING
  r.maxima[row] = max
  if (attended.length === 0) return

  const e = s.map(score => f(Math.exp(f(score - max))))
  const total = sum(order, a.keys, j => e[j])
  const logSum = f(Math.log(total))
  const p = e.map(x => f(x / total))
  const keep = p.map((_, j) => keepFactor(c, row, j))
  const dropped = p.map((x, j) => f(x * keep[j]))
  r.logsumexp[row] = f(max + logSum)
  r.entropy[row] = -sum(order, a.keys, j => (p[j] === 0 ? 0 : f(p[j] * f(Math.log(p[j])))))
  r.weights.set(p, row * a.keys)
  r.droppedWeights.set(dropped, row * a.keys)
  for (let d = 0; d < a.dimV; d++) {
    r.output[row * a.dimV + d] = sum(order, a.keys, j => f(dropped[j] * c.v[(firstKey + j) * a.dimV + d]))
  }

  const gradOutput = c.gradOutput.subarray(row * a.dimV, (row + 1) * a.dimV)
  const delta = sum(order, a.dimV, d => f(r.output[row * a.dimV + d] * gradOutput[d]))
  const coefficient = f(c.scalars?.[1] ?? 0)
  const gradScores = new Float32Array(a.keys)
  for (const j of attended) {
    const key = firstKey + j
    const gradWeight = f(keep[j] * sum(order, a.dimV, d => f(gradOutput[d] * c.v[key * a.dimV + d])))
    const entropyTerm =
      coefficient === 0 ? 0 : f(coefficient * f(f(s[j] - r.logsumexp[row]) + r.entropy[row]))
    const gradBias = f(p[j] * f(f(gradWeight - delta) - entropyTerm))
    gradScores[j] = f(f(a.scale) * (cap > 0 ? f(gradBias * f(1 - f(tanh[j] * tanh[j]))) : gradBias))
    if (r.gradMask.length > 0) r.gradMask[index(j)] += gradBias
    for (let d = 0; d < a.dimV; d++) r.gradV[key * a.dimV + d] += f(dropped[j] * gradOutput[d])
    for (let d = 0; d < a.dimK; d++) r.gradK[key * a.dimK + d] += f(gradScores[j] * c.q[row * a.dimK + d])
  }
  for (let d = 0; d < a.dimK; d++) {
    r.gradQ[row * a.dimK + d] = sum(order, a.keys, j => f(gradScores[j] * c.k[(firstKey + j) * a.dimK + d]))
  }
}

function sum(order: Order, count: number, term: (index: number) => number): number {
  let total = 0
  for (let index = 0; index < count; index++) {
    total = f(total + term(order === 'ascending' ? index : count - 1 - index))
  }
  return total
}

/** Dropout's factor, straight from the generator's definition. */
function keepFactor({ args: a }: AttentionCase, row: number, j: number): number {
  if (a.dropoutP === 0) return 1
  const key1 = mix(row ^ mix(a.seedLow))
  const key2 = mix(key1 + mix(a.seedHigh))
  return mix(mix(j ^ key1) + key2) >= Math.floor(a.dropoutP * 2 ** 32) ? f(1 / (1 - a.dropoutP)) : 0
}
