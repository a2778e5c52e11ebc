/**
 * A kernel under test: attention in tiles of queries and keys with running maxima, as flash kernels do, in float32, forward and
 * backward. It can make one mistake: every one is a way in which kernels have been wrong.
 */

import {
  damage,
  KEY_TILE,
  type Mistake,
  masksOf,
  rotated,
  scaleOf,
  type Tensor,
  type TiledProblem,
} from './tiled-mistakes.ts'

export interface TiledResults {
  output: Tensor
  logsumexp: Tensor
  grads: { q: Tensor; k: Tensor; v: Tensor }
}

const f = Math.fround
const NOTHING = Number.NEGATIVE_INFINITY

export function tiledAttention(problem: TiledProblem, mistake?: Mistake): TiledResults {
  const is = (...names: Mistake[]) => mistake !== undefined && names.includes(mistake)
  if (is('strides-of-other-layout')) return inOtherOrder(problem)
  const { gradOutput, softcap = 0 } = problem
  const swapped = is('k-and-v-swapped')
  const [batch, heads, queries, dim] = problem.q.shape
  const [, kvHeads, keys] = problem.k.shape
  const group = heads / kvHeads
  const q = rotated(problem.q, problem, mistake)
  const k = rotated(swapped ? problem.v : problem.k, problem, mistake)
  const v = (swapped ? problem.k : problem.v).data
  const scale = f(scaleOf(problem, dim, mistake))
  const keep = (b: number, h: number, i: number, j: number) => {
    const z = problem.keep?.(b, h, i, j) ?? 1
    if (is('dropout-missing')) return 1
    return is('dropout-unscaled') && z > 0 ? 1 : f(z)
  }
  const kvHeadOf = (h: number) => {
    if (is('heads-interleaved')) return h % kvHeads
    const own = Math.floor(h / group)
    return is('kv-heads-reversed') ? kvHeads - 1 - own : own
  }
  const allowed = masksOf(problem, queries, keys, mistake)
  const dot = (x: ArrayLike<number>, at: number, y: ArrayLike<number>, from: number) => {
    let sum = 0
    for (let d = 0; d < dim; d++) sum = f(sum + x[at + d] * y[from + d])
    return sum
  }
  /** what the softmax sees, and the softcap's tanh */
  const scoreOf = (b: number, h: number, i: number, j: number, open = false) => {
    const [row, key] = [(b * heads + h) * queries + i, (b * kvHeads + kvHeadOf(h)) * keys + j]
    let s = f(dot(q, row * dim, k, key * dim) * scale)
    const masked = !allowed(i, j)
    const capped = softcap > 0 && !is('softcap-missing')
    const [tanh, last] = [capped ? f(Math.tanh(s / softcap)) : 0, capped && is('softcap-last')]
    if (last) return masked ? { s: -softcap, tanh: -1 } : { s: f(softcap * tanh), tanh }
    if (capped) s = f(softcap * tanh)
    if (problem.float && !is('bias-missing')) {
      const bias = problem.float[i * keys + j]
      s = f(s + (is('bias-subtracted') ? -bias : bias))
    }
    if (problem.slopes && !is('alibi-missing')) {
      const slope = is('alibi-sign') ? -problem.slopes[h] : problem.slopes[h]
      s = f(s - slope * Math.abs(i + (problem.causal === 'bottom_right' ? keys - queries : 0) - j))
    }
    return { s: masked && !open ? NOTHING : s, tanh }
  }

  const output = new Float32Array(batch * heads * queries * dim)
  const logsumexp = new Float32Array(batch * heads * queries)
  const maxima = new Float32Array(logsumexp.length)
  for (let b = 0; b < batch; b++) {
    for (let h = 0; h < heads; h++) {
      for (let i = 0; i < queries; i++) {
        const row = (b * heads + h) * queries + i
        const firstKey = (b * kvHeads + kvHeadOf(h)) * keys
        const sums = new Float32Array(dim)
        let [max, total] = [NOTHING, 0]
        for (let begin = 0; begin < keys; begin += KEY_TILE) {
          const end = Math.min(begin + KEY_TILE, keys) - (is('key-tail-lost') ? 1 : 0)
          const scores: number[] = []
          for (let j = begin; j < end; j++) scores.push(scoreOf(b, h, i, j).s)
          const next = Math.max(max, ...scores)
          if (next === NOTHING) continue
          const factor = is('rescale-missing') ? 1 : f(Math.exp(max - next))
          total = f(total * factor)
          for (let d = 0; d < dim; d++) sums[d] *= factor
          for (const [at, s] of scores.entries()) {
            const e = f(Math.exp(s - next))
            total = f(total + e)
            const weight = f(e * keep(b, h, i, begin + at))
            for (let d = 0; d < dim; d++) sums[d] += weight * v[(firstKey + begin + at) * dim + d]
          }
          max = next
        }
        for (let d = 0; d < dim; d++) {
          let value = total === 0 ? 0 : f(sums[d] / total)
          if (total === 0 && is('empty-nan')) value = Number.NaN
          if (total === 0 && is('empty-uniform')) {
            for (let j = 0; j < keys; j++) value = f(value + f(v[(firstKey + j) * dim + d] / keys))
          }
          output[row * dim + d] = value
        }
        logsumexp[row] = total === 0 ? NOTHING : f(max + f(Math.log(total)))
        maxima[row] = max
      }
    }
  }

  const [gradQ, gradK, gradV] = [
    new Float32Array(q.length),
    new Float32Array(k.length),
    new Float32Array(v.length),
  ]
  const inverse = (h: number) => h % group
  const scaleQ = is('dq-scale-missing', 'both-scales-missing')
    ? 1
    : is('dq-scale-twice')
      ? f(scale * scale)
      : scale
  const scaleK = is('dk-scale-missing', 'both-scales-missing')
    ? 1
    : is('dk-scale-twice')
      ? f(scale * scale)
      : scale
  for (let b = 0; b < batch; b++) {
    for (let h = 0; h < heads; h++) {
      const member = inverse(h)
      const counts = is('group-last') ? member === group - 1 : !is('group-first') || member === 0
      const share = is('group-mean') ? 1 / group : 1
      for (let beginKey = 0; beginKey < keys; beginKey += KEY_TILE) {
        for (let i = 0; i < queries; i++) {
          const row = (b * heads + h) * queries + i
          const lse = logsumexp[row]
          if (lse === NOTHING) continue
          const delta = is('delta-missing') ? 0 : dot(output, row * dim, gradOutput.data, row * dim)
          for (let j = beginKey; j < Math.min(beginKey + KEY_TILE, keys); j++) {
            const { s, tanh } = scoreOf(b, h, i, j, is('backward-mask-missing'))
            if (s === NOTHING) continue
            const key = (b * kvHeads + kvHeadOf(h)) * keys + j
            const p = f(Math.exp(f(s - lse)))
            const z = keep(b, h, i, j)
            const gradWeight = f(z * dot(gradOutput.data, row * dim, v, key * dim))
            const gradScore = f(f(p * f(gradWeight - delta)) * f(1 - tanh * tanh))
            for (let d = 0; d < dim; d++) {
              gradQ[row * dim + d] += f(gradScore * k[key * dim + d]) * scaleQ
              if (!counts) continue
              gradK[key * dim + d] += f(gradScore * q[row * dim + d]) * scaleK * share
              gradV[key * dim + d] += f(f(z * p) * gradOutput.data[row * dim + d]) * share
            }
          }
        }
      }
    }
  }
  for (let row = 0; row < logsumexp.length; row++) {
    if (is('lse-base-2')) logsumexp[row] *= Math.LOG2E
    if (is('lse-without-maximum')) logsumexp[row] -= maxima[row]
  }
  damage({ output, gradK }, { batch, heads, queries, kvHeads, keys, dim }, mistake)
  const like = (shape: number[], data: Float32Array): Tensor => ({ shape, data: Array.from(data) })
  const unrotated = (shape: number[], data: Float32Array) => ({
    shape,
    data: rotated(like(shape, data), problem, mistake, -1),
  })
  const crossed = is('dk-and-dv-swapped')
  return {
    output: like([batch, heads, queries, dim], output),
    logsumexp: like([batch, heads, queries], logsumexp),
    grads: {
      q: unrotated(problem.q.shape, gradQ),
      k: crossed ? like(problem.v.shape, gradV) : unrotated(problem.k.shape, gradK),
      v: like(problem.v.shape, crossed ? gradK : gradV),
    },
  }
}

/** Its tensors read, and its results written, as if they had positions before heads. */
function inOtherOrder(problem: TiledProblem): TiledResults {
  const { q, k, v, gradOutput } = problem
  const read = turn(false)
  const { output, logsumexp, grads } = tiledAttention({
    ...problem,
    q: read(q),
    k: read(k),
    v: read(v),
    gradOutput: read(gradOutput),
  })
  const write = turn(true)
  return {
    output: write(output),
    logsumexp,
    grads: { q: write(grads.q), k: write(grads.k), v: write(grads.v) },
  }
}

function turn(back: boolean) {
  return ({ shape, data }: Tensor): Tensor => {
    const [batch, heads, rows, dim] = shape
    const result = [...data]
    for (let at = 0; at < batch * heads * rows; at++) {
      const [b, h, n] = [Math.floor(at / (heads * rows)), Math.floor(at / rows) % heads, at % rows]
      const other = (b * rows + n) * heads + h
      const [to, from] = back ? [other, at] : [at, other]
      for (let d = 0; d < dim; d++) result[to * dim + d] = data[from * dim + d]
    }
    return { shape, data: result }
  }
}
