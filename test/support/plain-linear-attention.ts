/** Linear attention by its definition, pair by pair: in float64, or with every operation rounded. */
import type { Reals } from '../../workers/ops/define-op.ts'
import type { AttentionCase } from './attention-case.ts'

type Round = (x: number) => number
const feature = (x: number, round: Round) => (x > 0 ? round(x + 1) : round(Math.exp(x)))

/** By the book, pair by pair: Σ_j (φ(q_i)·φ(k_j)) v_j / Σ_j φ(q_i)·φ(k_j), and its gradients; every operation rounded. */
export function linearByTheBook(c: AttentionCase, f: Round = x => x) {
  const { args: a, spec } = c
  const zeros = (like: Reals) => Array.from(like, () => 0)
  const r = { output: zeros(c.output), gradQ: zeros(c.gradQ), gradK: zeros(c.gradK), gradV: zeros(c.gradV) }
  const outputBySums = zeros(c.output)
  const dot = (x: number[], y: number[]) => x.reduce((sum, value, d) => f(sum + f(value * y[d])), 0)
  const row = (x: Reals, index: number, dim: number) => Array.from(x.subarray(index * dim, (index + 1) * dim))
  for (let b = 0; b < a.batch; b++) {
    const m = c.kvLengths?.[b] ?? a.keys
    const n = c.qLengths?.[b] ?? a.queries
    const shift = spec.alignment === 'bottom_right' ? m - n : spec.pastKeys
    for (let h = 0; h < a.heads; h++) {
      const kvHead = b * a.kvHeads + Math.floor((h * a.kvHeads) / a.heads)
      for (let i = 0; i < n; i++) {
        const at = (b * a.heads + h) * a.queries + i
        const keys = Array.from({ length: m }, (_, j) => j).filter(j => !spec.causal || j <= i + shift)
        const q = row(c.q, at, a.dimK)
        const x = q.map(value => feature(value, f))
        const pairs = keys.map(j => {
          const key = kvHead * a.keys + j
          const k = row(c.k, key, a.dimK)
          const y = k.map(value => feature(value, f))
          return { key, k, y, v: row(c.v, key, a.dimV), weight: dot(x, y) }
        })
        const normaliser = pairs.reduce((sum, { weight }) => f(sum + weight), 0)
        if (normaliser === 0) continue
        const output = Array(a.dimV).fill(0)
        for (const { weight, v } of pairs) {
          for (let d = 0; d < a.dimV; d++) output[d] = f(output[d] + f(weight * v[d]))
        }
        for (let d = 0; d < a.dimV; d++) r.output[at * a.dimV + d] = output[d] = f(output[d] / normaliser)
        // the same once more in the order of the sums S and z: Σ_d φ(q)_d·(Σ_j φ(k_j)_d·v_j)
        const sum = (terms: number[]) => terms.reduce((total, term) => f(total + term), 0)
        const z = x.map((_, d) => sum(pairs.map(({ y }) => y[d])))
        for (let e = 0; e < a.dimV; e++) {
          // of consequence, and quick, only where there are few pairs
          if (keys.length > 7) {
            outputBySums[at * a.dimV + e] = output[e]
            continue
          }
          const S = x.map((_, d) => sum(pairs.map(({ y, v }) => f(y[d] * v[e]))))
          outputBySums[at * a.dimV + e] = f(dot(x, S) / dot(x, z))
        }
        const gradOutput = row(c.gradOutput, at, a.dimV)
        const g = gradOutput.map(value => f(value / normaliser))
        const along = f(dot(gradOutput, output) / normaliser)
        const add = (sums: number[], index: number, value: number) => {
          sums[index] = f(sums[index] + value)
        }
        const slope = (value: number) => (value > 0 ? 1 : f(Math.exp(value)))
        for (const { key, k, y, v, weight } of pairs) {
          const gradWeight = f(dot(g, v) - along)
          for (let d = 0; d < a.dimV; d++) add(r.gradV, key * a.dimV + d, f(weight * g[d]))
          for (let d = 0; d < a.dimK; d++) {
            add(r.gradQ, at * a.dimK + d, f(f(gradWeight * y[d]) * slope(q[d])))
            add(r.gradK, key * a.dimK + d, f(f(gradWeight * x[d]) * slope(k[d])))
          }
        }
      }
    }
  }
  return { ...r, outputBySums }
}
