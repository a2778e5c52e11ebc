/** Linear attention of one batch and head by its definition, from logarithms: right for elements of any size. */
import type { AttentionCase } from './attention-case.ts'

const log = (x: number) => (x > 0 ? Math.log1p(x) : x)
export const ratio = (x: number) => (x > 0 ? 1 / (1 + x) : 1)

/** One batch and head; every sum in the order of what is largest does not matter in float64. */
export function byLogarithms(c: AttentionCase) {
  const { queries, keys, dimK, dimV, shift } = c.args
  const zeros = (like: ArrayLike<number>) => Array.from(like, () => 0)
  const r = { output: zeros(c.output), gradQ: zeros(c.gradQ), gradK: zeros(c.gradK), gradV: zeros(c.gradV) }
  for (let i = 0; i < queries; i++) {
    const count = c.spec.causal ? Math.max(0, Math.min(keys, i + shift + 1)) : keys
    if (count === 0) continue
    const logs = Array.from({ length: count }, (_, j) => {
      return Array.from({ length: dimK }, (_, d) => log(c.q[i * dimK + d]) + log(c.k[j * dimK + d]))
    })
    const most = Math.max(...logs.map(row => Math.max(...row)))
    // share of every pair and dimension in the row's sum
    const e = logs.map(row => row.map(x => Math.exp(x - most)))
    const total = e.flat().reduce((sum, x) => sum + x, 0)
    const share = e.map(row => row.map(x => x / total))
    const p = share.map(row => row.reduce((sum, x) => sum + x, 0))
    for (let j = 0; j < count; j++) {
      for (let x = 0; x < dimV; x++) {
        r.output[i * dimV + x] += p[j] * c.v[j * dimV + x]
        r.gradV[j * dimV + x] += p[j] * c.gradOutput[i * dimV + x]
      }
    }
    for (let j = 0; j < count; j++) {
      let along = 0
      for (let x = 0; x < dimV; x++) {
        along += c.gradOutput[i * dimV + x] * (c.v[j * dimV + x] - r.output[i * dimV + x])
      }
      for (let d = 0; d < dimK; d++) {
        r.gradQ[i * dimK + d] += along * share[j][d] * ratio(c.q[i * dimK + d])
        r.gradK[j * dimK + d] += along * share[j][d] * ratio(c.k[j * dimK + d])
      }
    }
  }
  return r
}
