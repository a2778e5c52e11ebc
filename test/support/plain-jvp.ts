/**
 * Attention in forward mode as a plain float32 program would compute it, every operation rounded: the yardstick for the kernel's
 * error. It knows who attends, and the scores, from the reference in float64 of the same float32 numbers.
 */
import type { AttentionArgs, JvpTensors } from '../../workers/ops/attention/op.ts'
import { maskIndex, queryRows } from '../../workers/ops/attention/reference/attended.ts'
import { maskedScore } from '../../workers/ops/attention/reference/score.ts'
import { dropoutKeys, keepFactor } from '../../workers/ops/dropout.ts'
import { type Order, plainSum } from './op-case.ts'

const f = Math.fround

/** Of the output, the weights and logsumexp, those that have a place in `results`. */
export function plainJvp(
  t: JvpTensors,
  a: AttentionArgs,
  units: number,
  order: Order,
  results: Record<string, Float32Array>,
): void {
  for (const row of queryRows(t, a, 0, units)) {
    const at = row.index
    const element = (x: ArrayLike<number> | undefined, index: number) => x?.[index] ?? 0
    const dot = (x: ArrayLike<number> | undefined, y: ArrayLike<number> | undefined, key: number) =>
      x === undefined || y === undefined
        ? 0
        : f(f(a.scale) * plainSum(order, a.dimK, d => f(x[at * a.dimK + d] * y[key * a.dimK + d])))
    const attended: number[] = []
    for (let j = row.lo; j < row.hi; j++) {
      if (maskedScore(t, a, row, j) !== Number.NEGATIVE_INFINITY) attended.push(j)
    }
    const scores = attended.map(j => {
      const key = row.firstKey + j
      const product = dot(t.q, t.k, key)
      const tanh = a.softcap > 0 ? f(Math.tanh(f(product / f(a.softcap)))) : 0
      let score = a.softcap > 0 ? f(f(a.softcap) * tanh) : product
      if (a.maskKind === 'float') score = f(score + element(t.mask, maskIndex(a, row, j)))
      if (t.slopes) score = f(score - f(t.slopes[row.h] * Math.abs(row.aligned - j)))
      let tangent = f(dot(t.tangentQ, t.k, key) + dot(t.q, t.tangentK, key))
      if (a.softcap > 0) tangent = f(tangent * f(1 - f(tanh * tanh)))
      return { score, tangent: f(tangent + element(t.tangentMask, maskIndex(a, row, j))) }
    })
    const sink = t.tangentSinks === undefined ? Number.NEGATIVE_INFINITY : element(t.sinks, row.h)
    const max = scores.reduce((most, { score }) => Math.max(most, score), sink)
    const e = scores.map(({ score }) => f(Math.exp(f(score - max))))
    const ofSink = sink === Number.NEGATIVE_INFINITY ? 0 : f(Math.exp(f(sink - max)))
    const total = f(plainSum(order, e.length, n => e[n]) + ofSink)
    const p = e.map(x => f(x / total))
    const sinkShare = ofSink === 0 ? 0 : f(f(ofSink / total) * element(t.tangentSinks, row.h))
    const mean = f(plainSum(order, p.length, n => f(p[n] * scores[n].tangent)) + sinkShare)
    const tangents = p.map((x, n) => f(x * f(scores[n].tangent - mean)))
    if (results.tangentLogsumexp) results.tangentLogsumexp[at] = mean
    for (const [n, j] of attended.entries()) {
      if (results.tangentWeights) results.tangentWeights[at * a.keys + j] = tangents[n]
    }
    if (!results.tangentOutput) continue
    const keys = dropoutKeys(a, at)
    for (let d = 0; d < a.dimV; d++) {
      results.tangentOutput[at * a.dimV + d] = plainSum(order, p.length, n => {
        const z = f(keepFactor(a, keys, attended[n]))
        const value = (row.firstKey + attended[n]) * a.dimV + d
        return f(f(f(z * tangents[n]) * t.v[value]) + f(f(z * p[n]) * element(t.tangentV, value)))
      })
    }
  }
}
