/**
 * A kernel under test: attention in blocks of keys with running maxima, as flash kernels do, in float32 (or rounded to a half type
 * where such a kernel rounds), forward and backward. Its mistakes are options: every one is a way in which kernels have been wrong.
 */
import { roundTo } from '../../../workers/text/float16.ts'
import { type Flat, likeShape } from './tensors.ts'

const f = Math.fround

export interface Problem {
  /** [B, H, N, d], [B, H_kv, M, d], [B, H_kv, M, d_v] */
  q: Flat
  k: Flat
  v: Flat
  gradOutput?: Flat
  /** what a pair's score becomes, −∞ where it is masked; b, h, i, j as the kernel counts them */
  mask?: (score: number, b: number, h: number, i: number, j: number) => number
  scale?: number
  softcap?: number
  /** of the weight of a pair, with its factor in it */
  keep?: (b: number, h: number, i: number, j: number) => number
}

export interface Mistakes {
  kvHead?: (h: number, heads: number, kvHeads: number) => number
  /** what is left out of, or put into, the backward pass */
  delta?: 'missing'
  gradQScale?: number
  gradKScale?: number
  groupSum?: 'last'
  backwardMask?: 'missing'
  /** keys of each block that are forgotten */
  lostTail?: number
  rescale?: 'missing'
}

export interface Results {
  output: Flat
  logsumexp: Flat
  grads?: { q: Flat; k: Flat; v: Flat }
}

export function kernel(problem: Problem, mistakes: Mistakes = {}, dtype = 'float32', block = 8): Results {
  const { q, k, v, gradOutput, mask = s => s, softcap = 0, keep = () => 1 } = problem
  const r = (x: number) => roundTo(dtype, x)
  const [batch, heads, queries, dimK] = q.shape
  const [, kvHeads, keys] = k.shape
  const dimV = v.shape[3]
  const scale = problem.scale ?? 1 / Math.sqrt(dimK)
  const kvHeadOf = mistakes.kvHead ?? ((h: number) => Math.floor((h * kvHeads) / heads))
  const output = new Float32Array(batch * heads * queries * dimV)
  const logsumexp = new Float32Array(batch * heads * queries)
  const gradQ = new Float32Array(q.data.length)
  const gradK = new Float32Array(k.data.length)
  const gradV = new Float32Array(v.data.length)
  const capped = (s: number) => (softcap > 0 ? f(softcap * f(Math.tanh(s / softcap))) : s)
  for (let row = 0; row < batch * heads * queries; row++) {
    const b = Math.floor(row / (heads * queries))
    const h = Math.floor(row / queries) % heads
    const i = row % queries
    const firstKey = (b * kvHeads + kvHeadOf(h, heads, kvHeads)) * keys
    const raw = (j: number) => {
      let sum = 0
      for (let d = dimK - 1; d >= 0; d--)
        sum = f(sum + r(q.data[row * dimK + d]) * r(k.data[(firstKey + j) * dimK + d]))
      return f(sum * f(scale))
    }
    const sums = new Float32Array(dimV)
    let [max, total] = [Number.NEGATIVE_INFINITY, 0]
    for (let begin = 0; begin < keys; begin += block) {
      const end = Math.min(begin + block - (mistakes.lostTail ?? 0), keys)
      const scores: number[] = []
      for (let j = begin; j < end; j++) scores.push(f(mask(capped(raw(j)), b, h, i, j)))
      const next = scores.reduce((x, y) => Math.max(x, y), max)
      if (next === Number.NEGATIVE_INFINITY) continue
      const factor = mistakes.rescale === 'missing' ? 1 : f(Math.exp(max - next))
      total = f(total * factor)
      for (let d = 0; d < dimV; d++) sums[d] *= factor
      for (const [at, score] of scores.entries()) {
        const e = f(Math.exp(score - next))
        total = f(total + e)
        const p = r(f(e * keep(b, h, i, begin + at)))
        for (let d = 0; d < dimV; d++) sums[d] += p * r(v.data[(firstKey + begin + at) * dimV + d])
      }
      max = next
    }
    for (let d = 0; d < dimV; d++) output[row * dimV + d] = total === 0 ? 0 : r(f(sums[d] / total))
    logsumexp[row] = total === 0 ? Number.NEGATIVE_INFINITY : f(max + f(Math.log(total)))
    if (gradOutput === undefined || total === 0) continue

    let delta = 0
    for (let d = 0; d < dimV; d++)
      delta = f(delta + output[row * dimV + d] * r(gradOutput.data[row * dimV + d]))
    if (mistakes.delta === 'missing') delta = 0
    for (let j = 0; j < keys; j++) {
      const score = raw(j)
      const open = capped(score)
      const seen = mask(open, b, h, i, j)
      if (seen === Number.NEGATIVE_INFINITY && mistakes.backwardMask !== 'missing') continue
      const p = f(Math.exp(f((seen === Number.NEGATIVE_INFINITY ? open : seen) - logsumexp[row])))
      const key = firstKey + j
      const z = keep(b, h, i, j)
      let gradWeight = 0
      for (let d = 0; d < dimV; d++) {
        const g = r(gradOutput.data[row * dimV + d])
        gradWeight = f(gradWeight + g * r(v.data[key * dimV + d]))
        gradV[key * dimV + d] += r(f(z * p)) * g
      }
      let gradScore = r(f(p * f(f(z * gradWeight) - delta)))
      if (softcap > 0) gradScore = f(gradScore * f(1 - (open / softcap) ** 2))
      for (let d = 0; d < dimK; d++) {
        gradQ[row * dimK + d] +=
          f(scale * (mistakes.gradQScale ?? 1)) * f(gradScore * r(k.data[key * dimK + d]))
        const own = f(scale * (mistakes.gradKScale ?? 1)) * f(gradScore * r(q.data[row * dimK + d]))
        if (mistakes.groupSum === 'last' && (h + 1) % (heads / kvHeads) !== 0) continue
        gradK[key * dimK + d] += own
      }
    }
  }
  const rounded = (x: Float32Array) => x.map(r)
  return {
    output: likeShape([batch, heads, queries, dimV], output),
    logsumexp: likeShape([batch, heads, queries], logsumexp),
    ...(gradOutput && {
      grads: {
        q: likeShape(q.shape, rounded(gradQ)),
        k: likeShape(k.shape, rounded(gradK)),
        v: likeShape(v.shape, rounded(gradV)),
      },
    }),
  }
}
