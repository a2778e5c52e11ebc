/** The reference against the formulas written out a second time, and against the article's numbers. */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type AttentionCase, buildCase } from '../../../test/support/attention-case.ts'
import { referenceKernels, runForward, runMaps } from '../../../test/support/attention-runs.ts'
import { attentionSpecs, plainSpec } from '../../../test/support/attention-spec.ts'
import { normalNumbers } from '../../../test/support/numbers.ts'

/** One row by the book: a list of [key, score] that are attended, then softmax over the list. */
function rowByTheBook(c: AttentionCase, b: number, h: number, i: number) {
  const { args: a, spec } = c
  const n = c.qLengths?.[b] ?? a.queries
  const m = c.kvLengths?.[b] ?? a.keys
  const kvHead = Math.floor((h * a.kvHeads) / a.heads)
  const at = spec.alignment === 'bottom_right' ? i + m - n : i + spec.pastKeys
  const q = Array.from(c.q.slice(((b * a.heads + h) * a.queries + i) * a.dimK).slice(0, a.dimK))
  const list: { j: number; s: number; v: number[] }[] = []
  for (let j = 0; j < a.keys; j++) {
    if (i >= n || j >= m) continue
    if (spec.causal && j > at) continue
    if (spec.windowLeft >= 0 && j < at - spec.windowLeft) continue
    if (spec.windowRight >= 0 && j > at + spec.windowRight) continue
    const [B, H, N, M] = c.maskShape
    const index = (((b % B) * H + (h % H)) * N + (i % N)) * M + (j % M)
    const mask = c.mask?.[index]
    if (a.maskKind === 'bool' && mask === 0) continue
    if (a.maskKind === 'float' && mask === Number.NEGATIVE_INFINITY) continue
    const row = (b * a.kvHeads + kvHead) * a.keys + j
    const k = c.k.slice(row * a.dimK, (row + 1) * a.dimK)
    let s = a.scale * q.reduce((sum, x, d) => sum + x * k[d], 0)
    if (a.softcap > 0) s = a.softcap * Math.tanh(s / a.softcap)
    if (a.maskKind === 'float') s += mask as number
    if (c.slopes) s -= c.slopes[h] * Math.abs(at - j)
    list.push({ j, s, v: Array.from(c.v.slice(row * a.dimV, (row + 1) * a.dimV)) })
  }
  const total = list.reduce((sum, { s }) => sum + Math.exp(s), 0)
  const p = list.map(({ s }) => Math.exp(s) / total)
  return { list, p, lse: Math.log(total), entropy: -p.reduce((sum, x) => sum + x * Math.log(x), 0) }
}

const near = (actual: number, expected: number) => {
  if (Number.isFinite(expected))
    expect(Math.abs(actual - expected)).toBeLessThan(1e-12 * (1 + Math.abs(expected)))
  else expect(actual).toBe(expected)
}

it('forward and maps are what the formulas say', () => {
  fc.assert(
    fc.property(attentionSpecs(), spec => {
      const c = buildCase(spec)
      runForward(referenceKernels, c)
      runMaps(referenceKernels, c)
      const a = c.args
      for (let b = 0; b < a.batch; b++) {
        for (let h = 0; h < a.heads; h++) {
          for (let i = 0; i < a.queries; i++) {
            const row = (b * a.heads + h) * a.queries + i
            const { list, p, lse, entropy } = rowByTheBook(c, b, h, i)
            near(c.logsumexp[row], lse)
            near(c.entropy[row], entropy)
            const weights = Array(a.keys).fill(0)
            const scores = Array(a.keys).fill(Number.NEGATIVE_INFINITY)
            for (const [index, { j, s }] of list.entries()) {
              weights[j] = p[index]
              scores[j] = s
            }
            const dropped = Array.from(c.droppedWeights.slice(row * a.keys, (row + 1) * a.keys))
            const output = Array(a.dimV).fill(0)
            for (const { j, v } of list) for (let d = 0; d < a.dimV; d++) output[d] += dropped[j] * v[d]
            for (let j = 0; j < a.keys; j++) {
              near(c.weights[row * a.keys + j], weights[j])
              near(c.maskedScores[row * a.keys + j], scores[j])
              if (dropped[j] !== 0) near(dropped[j], weights[j] / (1 - a.dropoutP))
            }
            for (let d = 0; d < a.dimV; d++) near(c.output[row * a.dimV + d], output[d])
          }
        }
      }
    }),
    { numRuns: 250 },
  )
})

describe('the article', () => {
  const softmax = (scores: number[]) => {
    const c = buildCase({ ...plainSpec, queries: 1, keys: scores.length, dimK: 1, dimV: 1, scale: 1 })
    c.q[0] = 1
    c.k.set(scores)
    runForward(referenceKernels, c)
    runMaps(referenceKernels, c)
    return Array.from(c.weights)
  }

  it('§2.1: the softmax of the scaled scores, not of the unscaled', () => {
    near(softmax([0.5, 0])[0], 1 / (1 + Math.exp(-0.5)))
    expect(softmax([0.5, 0])[0]).toBeCloseTo(0.6225, 4)
    expect(softmax([1, 0])[0]).toBeCloseTo(0.7311, 4)
  })

  it('§5.1: softmax of [0.5, 0, 0]', () => {
    const [first, second, third] = softmax([0.5, 0, 0])
    expect(first).toBeCloseTo(0.451863, 6)
    expect([second, third].map(x => x.toFixed(6))).toEqual(['0.274069', '0.274069'])
  })

  it('§2.2: the variance of q·k is d_k, and 1 after scaling', () => {
    const normal = normalNumbers(20)
    const count = 4000
    for (const dimK of [4, 64]) {
      const c = buildCase({ ...plainSpec, queries: 1, keys: count, dimK, dimV: 1 })
      // a fresh query for every key would be independent samples; the same holds with one query of norm √d_k
      for (let d = 0; d < dimK; d++) c.q[d] = 1
      for (let i = 0; i < c.k.length; i++) c.k[i] = normal()
      runForward(referenceKernels, c)
      runMaps(referenceKernels, c)
      const variance = Array.from(c.scores).reduce((sum, s) => sum + s * s, 0) / count
      // the variance of a sample variance of N(0, 1) is 2/count
      expect(Math.abs(variance - 1)).toBeLessThan(5 * Math.sqrt(2 / count))
      expect(Math.abs(variance * dimK - dimK)).toBeLessThan(5 * dimK * Math.sqrt(2 / count))
    }
  })
})
