/** Fixed cases of features that are out of the ordinary, in the reference: against the definition by logarithms, and where they meet others. */
import { describe, expect, it } from 'vitest'
import { buildCase, ownMemory } from '../../../test/support/attention-case.ts'
import { type AttentionSpec, plainSpec } from '../../../test/support/attention-spec.ts'
import { plainKernels } from '../../../test/support/family-kernels.ts'
import { runLinear } from '../../../test/support/linear-attention-runs.ts'
import { byLogarithms } from '../../../test/support/linear-by-logarithms.ts'
import { uniformNumbers } from '../../../test/support/numbers.ts'
import { linearAttention } from './index.ts'
import { PLAIN_LOG_64 } from './op.ts'
import { scaledFeature, scaleOf, slopeRatio } from './reference/features.ts'

const REFERENCE = {
  kernels: plainKernels(linearAttention),
  precision: 'float64' as const,
  allocate: ownMemory,
}
const RESULTS = ['output', 'gradQ', 'gradK', 'gradV'] as const

/** What is added to the elements of q and of k, dimension by dimension, and to each key, at most. */
interface Far {
  q: number[]
  k: number[]
  byKey?: number
}

const SIZES: [string, Partial<AttentionSpec>][] = [
  ['one pair', { queries: 1, keys: 1 }],
  ['whole', { queries: 3, keys: 5 }],
  ['causal in a chunk', { queries: 7, keys: 7, causal: true }],
  ['causal over chunks', { queries: 200, keys: 230, causal: true, alignment: 'bottom_right' }],
  ['more queries than keys', { queries: 110, keys: 3, causal: true }],
]
const FAR: [string, Far][] = [
  ['ordinary', { q: [0, 0, 0], k: [0, 0, 0] }],
  ['all far below', { q: [-46, -46, -46], k: [-46, -46, -46] }],
  ['below every number', { q: [-1000, -1000, -1000], k: [-1e6, -1e6, -1e6] }],
  ['queries far below', { q: [-800, -800, -800], k: [0, 0, 0] }],
  ['keys far below', { q: [0, 0, 0], k: [-800, -800, -800] }],
  ['dimensions apart', { q: [-900, 0, 5], k: [0, -900, 1e9] }],
  ['one dimension alone', { q: [1e30, -1e3, -1e3], k: [-1e3, -1e3, 1e30] }],
  ['large', { q: [1e30, 1e30, 1e30], k: [1e30, 1e30, 1e30] }],
  ['each key elsewhere', { q: [0, -90, 0], k: [-20, 0, -90], byKey: 900 }],
]

describe.each(SIZES)('%s', (_size, size) => {
  it.each(FAR)('%s', (_name, { q, k, byKey = 0 }) => {
    const c = buildCase({ ...plainSpec, dimK: 3, dimV: 2, scale: 1, seed: 3, ...size })
    const uniform = uniformNumbers(7)
    for (let at = 0; at < c.q.length; at++) c.q[at] += q[at % 3]
    let far = 0
    for (let at = 0; at < c.k.length; at++) {
      if (at % 3 === 0) far = byKey * uniform()
      c.k[at] += k[at % 3] - far
    }
    runLinear(c, REFERENCE)
    const expected = byLogarithms(c)
    for (const name of RESULTS) {
      const largest = expected[name].reduce((most, x) => Math.max(most, Math.abs(x)), 1e-12)
      const wrong = expected[name].findIndex(
        (x, i) => !(Math.abs(x - c[name][i]) <= 1e-9 * Math.max(1, largest)),
      )
      const message = `${name}[${wrong}]: ${c[name][wrong]}, not ${expected[name][wrong]}`
      expect(wrong < 0 ? 'right' : message).toBe('right')
    }
  })
})

it('what is ordinary is summed as it is, in the order of keys and dimensions', () => {
  const c = buildCase({ ...plainSpec, dimK: 3, dimV: 2, scale: 1, seed: 3, queries: 3, keys: 5 })
  const φ = (x: number) => (x > 0 ? x + 1 : Math.exp(x))
  const S = Array.from({ length: 3 }, () => [0, 0])
  const z = [0, 0, 0]
  for (let j = 0; j < 5; j++) {
    for (let d = 0; d < 3; d++) {
      const f = φ(c.k[3 * j + d])
      z[d] += f
      for (let x = 0; x < 2; x++) S[d][x] += f * c.v[2 * j + x]
    }
  }
  const normaliser = runLinear(c, REFERENCE)
  for (let i = 0; i < 3; i++) {
    const [output, sum] = [[0, 0], { of: 0 }]
    for (let d = 0; d < 3; d++) {
      const f = φ(c.q[3 * i + d])
      for (let x = 0; x < 2; x++) output[x] += f * S[d][x]
      sum.of += f * z[d]
    }
    expect(normaliser[i]).toBe(sum.of)
    expect([c.output[2 * i], c.output[2 * i + 1]]).toEqual(output.map(x => x / sum.of))
  }
})

describe('features', () => {
  it('have a slope by their logarithm: φ′/φ', () => {
    expect([-1000, -1, 0, 1, 3].map(slopeRatio)).toEqual([1, 1, 1, 0.5, 0.25])
  })

  it('have a scale where the logarithm is out of the ordinary, and is a number', () => {
    const edge = PLAIN_LOG_64
    const logs = [0, edge, -edge, edge + 1, -edge - 1, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]
    expect(logs.map(scaleOf)).toEqual([0, 0, 0, edge + 1, -edge - 1, 0, 0])
  })

  it('are scaled by what their state’s are', () => {
    expect(scaledFeature(2, 0)).toBe(3)
    expect(scaledFeature(-700, 690)).toBeCloseTo(Math.exp(-10), 12)
    expect(scaledFeature(1, 2)).toBeCloseTo(2 * Math.exp(2), 10)
    expect(scaledFeature(1, Number.NEGATIVE_INFINITY)).toBe(2)
  })
})
