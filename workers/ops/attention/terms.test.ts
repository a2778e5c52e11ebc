/**
 * Fixed cases of what shapes scores and losses beside masks by position: segments, pairs that an earlier pass has, biases by distance,
 * and terms of the weights and of logsumexp. Forward against the sums of the definition, gradients against its central differences.
 */
import { describe, expect, it } from 'vitest'
import { type AttentionCase, buildCase } from '../../../test/support/attention-case.ts'
import { type AttentionSpec, plainSpec } from '../../../test/support/attention-spec.ts'
import { randomTensors } from '../../../test/support/op-case.ts'
import {
  attentionBackward,
  attentionDistanceGradient,
  attentionForward,
  ELEMENT_BLOCK,
  rowPartsOf,
} from './op.ts'
import * as reference from './reference/index.ts'

const SIZES = { batch: 2, group: 2, queries: 4, dimK: 2, dimV: 3, keys: 5, entropyCoefficient: 0.3 }
const { NEGATIVE_INFINITY } = Number

interface Problem extends AttentionCase {
  qSegments?: Int32Array
  kvSegments?: Int32Array
  distanceBiases?: Float64Array
  weightTerms?: Float64Array
  /** ∂L/∂logsumexp */
  ofLogsumexp?: Float64Array
}

function problem(more: Partial<AttentionSpec>): Problem {
  return buildCase({ ...plainSpec, ...SIZES, ...more, seed: 5 })
}

/** The masked scores of a row, by the definition. */
function scoresOf(c: Problem, b: number, h: number, i: number): number[] {
  const { heads, kvHeads, queries, keys, dimK, scale, softcap, shift, distances, firstDistance } = c.args
  const row = (b * heads + h) * queries + i
  const firstKey = (b * kvHeads + Math.floor((h * kvHeads) / heads)) * keys
  return Array.from({ length: keys }, (_, j) => {
    let s = 0
    for (let d = 0; d < dimK; d++) s += scale * c.q[row * dimK + d] * c.k[(firstKey + j) * dimK + d]
    if (softcap > 0) s = softcap * Math.tanh(s / softcap)
    s += c.distanceBiases?.[h * distances + j - i - shift - firstDistance] ?? 0
    const own = c.qSegments?.[b * queries + i] ?? 0
    const apart = own < 0 || own !== (c.kvSegments?.[b * keys + j] ?? 0)
    const rank = c.earlierRanks?.[firstKey + j] ?? 0
    const [from, to] = c.earlierIntervals?.subarray(2 * row, 2 * row + 2) ?? [1, 0]
    return apart || (rank >= from && rank < to) ? NEGATIVE_INFINITY : s
  })
}

/** Weights, logsumexp and output of a row, by the definition. */
function rowOf(c: Problem, b: number, h: number, i: number) {
  const { heads, kvHeads, keys, dimV } = c.args
  const scores = scoresOf(c, b, h, i)
  const most = Math.max(...scores)
  if (most === NEGATIVE_INFINITY) return { scores, most, weights: scores.map(() => 0), logsumexp: most }
  const e = scores.map(s => Math.exp(s - most))
  const sum = e.reduce((x, y) => x + y)
  const weights = e.map(x => x / sum)
  const firstKey = (b * kvHeads + Math.floor((h * kvHeads) / heads)) * keys
  const output = Array.from({ length: dimV }, (_, d) =>
    weights.reduce((total, w, j) => total + w * c.v[(firstKey + j) * dimV + d], 0),
  )
  return { scores, most, weights, logsumexp: most + Math.log(sum), output }
}

/** Σ gradOutput·output + c·Σ entropy + Σ G·w + Σ g·logsumexp. */
function lossOf(c: Problem): number {
  const { batch, heads, queries, keys, dimV } = c.args
  let loss = 0
  for (let row = 0; row < batch * heads * queries; row++) {
    const [b, h, i] = [Math.floor(row / (heads * queries)), Math.floor(row / queries) % heads, row % queries]
    const { weights, logsumexp, output } = rowOf(c, b, h, i)
    if (output === undefined) continue
    for (let d = 0; d < dimV; d++) loss += output[d] * c.gradOutput[row * dimV + d]
    for (const [j, w] of weights.entries()) {
      loss += (c.weightTerms?.[row * keys + j] ?? 0) * w
      if (w > 0) loss -= (c.scalars?.[1] ?? 0) * w * Math.log(w)
    }
    loss += (c.ofLogsumexp?.[row] ?? 0) * logsumexp
  }
  return loss
}

/** What ops/loss makes of the terms, from the weights that are there. */
function rowTerms(c: Problem): Float64Array | undefined {
  if (c.weightTerms === undefined && c.ofLogsumexp === undefined) return undefined
  const { keys } = c.args
  return Float64Array.from(c.logsumexp, (_, row) => {
    const terms = c.weightTerms?.subarray(row * keys, (row + 1) * keys) ?? []
    return [...terms].reduce((sum, g, j) => sum + g * c.weights[row * keys + j], -(c.ofLogsumexp?.[row] ?? 0))
  })
}

function expectDifferences(c: Problem, x: Float64Array, gradient: ArrayLike<number>, name: string): void {
  expect(gradient.length, name).toBe(x.length)
  const step = 1e-5
  for (let at = 0; at < x.length; at++) {
    const value = x[at]
    x[at] = value + step
    const above = lossOf(c)
    x[at] = value - step
    const below = lossOf(c)
    x[at] = value
    expect(Math.abs((above - below) / (2 * step) - gradient[at]), `${name}[${at}]`).toBeLessThan(1e-7)
  }
}

const random = randomTensors(8)

const CASES: [string, () => Problem][] = [
  ['terms of the weights', () => withTerms(problem({}), true, false)],
  ['terms of logsumexp', () => withTerms(problem({ softcap: 2 }), false, true)],
  [
    'segments, with padding',
    () => {
      const c = withTerms(problem({}), true, true)
      c.qSegments = Int32Array.of(0, 1, -1, 2, 0, 0, 1, 1)
      c.kvSegments = Int32Array.of(1, 0, 1, -1, 0, 1, 1, 0, -1, 0)
      return c
    },
  ],
  [
    'biases by distance',
    () => {
      const c = withTerms(problem({ kvHeads: 2, softcap: 1.5 }), true, true)
      Object.assign(c.args, { shift: 2, distances: 11, firstDistance: -6 })
      c.distanceBiases = random(c.args.heads * 11)
      return c
    },
  ],
  [
    'pairs that an earlier pass has',
    () => {
      const c = problem({})
      const { batch, heads, kvHeads, queries, keys } = c.args
      c.args.earlier = 1
      c.earlierRanks = Int32Array.from({ length: batch * kvHeads * keys }, (_, at) => (3 * at) % keys)
      const rows = batch * heads * queries
      c.earlierIntervals = Int32Array.from({ length: 2 * rows }, (_, at) =>
        at % 2 === 0 ? Math.floor(at / 2) % 3 : (Math.floor(at / 2) % 3) + 1 + (Math.floor(at / 2) % 4),
      )
      return c
    },
  ],
  [
    'keys in two parts of a chain',
    () => withTerms(problem({ batch: 1, keys: 300, queries: 2, parts: 2 }), true, true),
  ],
]

function withTerms(c: Problem, weights: boolean, logsumexp: boolean): Problem {
  const rows = c.logsumexp.length
  if (weights) c.weightTerms = random(rows * c.args.keys)
  if (logsumexp) c.ofLogsumexp = random(rows)
  return c
}

/** Of every row, for every chain that reads it. */
function expectDelta(c: Problem, { delta, rowTerms }: { delta: ArrayLike<number>; rowTerms?: Float64Array }) {
  const { dimV } = c.args
  const rows = c.logsumexp.length
  for (let at = 0; at < delta.length; at++) {
    const row = at % rows
    let right = rowTerms?.[row] ?? 0
    for (let d = 0; d < dimV; d++) right += c.output[row * dimV + d] * c.gradOutput[row * dimV + d]
    expect(delta[at], `delta[${at}]`).toBeCloseTo(c.denominator[2 * row + 1] === 0 ? 0 : right, 12)
  }
}

describe.each(CASES)('%s', (_name, make) => {
  it('forward', () => {
    const c = make()
    const { heads, queries, keys, dimV } = c.args
    reference.attentionForward(c, c.args, 0, attentionForward.units(c.args))
    for (let row = 0; row < c.logsumexp.length; row++) {
      const [b, h, i] = [
        Math.floor(row / (heads * queries)),
        Math.floor(row / queries) % heads,
        row % queries,
      ]
      const right = rowOf(c, b, h, i)
      expect(c.maxima[row]).toBeCloseTo(right.most, 12)
      expect(c.logsumexp[row]).toBeCloseTo(right.logsumexp, 12)
      if (right.output === undefined) {
        expect([...c.denominator.subarray(2 * row, 2 * row + 2)]).toEqual([NEGATIVE_INFINITY, 0])
      }
      for (const [j, w] of right.weights.entries()) expect(c.weights[row * keys + j]).toBeCloseTo(w, 12)
      for (let d = 0; d < dimV; d++) expect(c.output[row * dimV + d]).toBeCloseTo(right.output?.[d] ?? 0, 12)
    }
    const { maxima: _maxima, ...without } = c
    reference.attentionForward(without, c.args, 0, 1)
  })

  it.each([false, true])('backward, parts apart: %s', apart => {
    const c = make()
    const { args } = c
    args.apart = apart && args.parts > 1
    const { batch, heads, queries, dimK } = args
    reference.attentionForward(c, args, 0, attentionForward.units(args))
    const t = { ...c, rowTerms: rowTerms(c) }
    const rows = batch * heads * queries
    t.delta = new Float64Array(rows * (args.apart ? args.parts : 1)).fill(Number.NaN)
    t.gradQParts = new Float64Array(rows * dimK * (args.apart ? args.parts - 1 : 1)).fill(Number.NaN)
    reference.attentionBackward(t, args, 0, attentionBackward.units(args))
    expectDelta(c, t)
    if (args.apart) {
      for (let at = 0; at < t.gradQParts.length; at++) t.gradQ[at % t.gradQ.length] += t.gradQParts[at]
    }
    expectDifferences(c, c.q as Float64Array, t.gradQ, 'q')
    expectDifferences(c, c.k as Float64Array, t.gradK, 'k')
    expectDifferences(c, c.v as Float64Array, t.gradV, 'v')
    if (c.distanceBiases === undefined) return
    const ofDistances = { ...args, parts: rowPartsOf(args) }
    const gradDistances = new Float64Array(ofDistances.parts * c.distanceBiases.length).fill(Number.NaN)
    const units = attentionDistanceGradient.units(ofDistances)
    for (let unit = units; unit-- > 0; ) {
      reference.attentionDistanceGradient({ ...t, gradDistances }, ofDistances, unit, unit + 1)
    }
    expectDifferences(c, c.distanceBiases, gradDistances, 'biases')
    const further = { ...ofDistances, further: true }
    const twice = gradDistances.map(value => 2 * value)
    reference.attentionDistanceGradient({ ...t, gradDistances }, further, 0, units)
    for (const [at, value] of twice.entries()) expect(gradDistances[at]).toBeCloseTo(value, 12)
  })
})

it('biases of several tiles of rows are summed in as many parts', () => {
  const c = problem({ batch: 1, group: 1, queries: 60, keys: 3, entropyCoefficient: 0 })
  const sizes = { distances: 62, firstDistance: -59, parts: rowPartsOf(c.args) }
  Object.assign(c.args, sizes)
  expect(sizes.parts).toBe(3)
  c.distanceBiases = random(62)
  reference.attentionForward(c, c.args, 0, attentionForward.units(c.args))
  const gradDistances = new Float64Array(3 * 62).fill(Number.NaN)
  reference.attentionDistanceGradient({ ...c, gradDistances }, { ...c.args, ...sizes }, 0, 3)
  const sums = Array.from({ length: 62 }, (_, x) =>
    [0, 1, 2].reduce((sum, part) => sum + gradDistances[part * 62 + x], 0),
  )
  expectDifferences(c, c.distanceBiases, sums, 'biases')
  // rows 0 to 23 see no distance of less than −23; row 59 alone sees −59
  expect([...gradDistances.subarray(0, 36)]).toEqual(Array(36).fill(0))
  expect(gradDistances[62 + 36]).not.toBe(0)
  expect(gradDistances[2 * 62]).not.toBe(0)
  // rows 48 and later see no distance of more than −46
  expect([...gradDistances.subarray(2 * 62 + 14, 3 * 62)]).toEqual(Array(48).fill(0))
})

it('gradients of values that are large and alike do not overflow', () => {
  const c = withTerms(problem({ batch: 1, group: 1, queries: 1, keys: 2, entropyCoefficient: 0 }), true, true)
  c.v.fill(1e200)
  c.gradOutput.fill(1e200)
  reference.attentionForward(c, c.args, 0, 1)
  const t = { ...c, rowTerms: rowTerms(c) }
  reference.attentionBackward(t, c.args, 0, attentionBackward.units(c.args))
  // alike values have no part in it
  const small = { ...c, gradOutput: new Float64Array(c.gradOutput.length) }
  expectDifferences(small, small.q as Float64Array, t.gradQ, 'q')
})

it.each([true, false])('gradients of values that are large and nearly alike: terms %s', terms => {
  const gradients = [1e100, 1e110].map(size => {
    const c = problem({ batch: 1, group: 1, queries: 3, keys: 4, entropyCoefficient: 0, dropoutP: 0 })
    c.v.set(c.v.map(x => 1e200 * (1 + 1e-9 * x)))
    c.gradOutput.set(c.gradOutput.map(x => size * x))
    reference.attentionForward(c, c.args, 0, 1)
    const rowTerms = terms ? new Float64Array(3) : undefined
    const weightTerms = terms ? new Float64Array(12) : undefined
    reference.attentionBackward({ ...c, rowTerms, weightTerms }, c.args, 0, attentionBackward.units(c.args))
    return c.gradQ
  })
  // the products of the larger ones overflow
  for (const [at, value] of gradients[0].entries()) {
    expect(Math.abs(value)).toBeGreaterThan(1e280)
    expect(Math.abs(gradients[1][at] / value / 1e10 - 1)).toBeLessThan(1e-4)
  }
})

it('a softcap of scores, block by block', () => {
  const count = 2 * ELEMENT_BLOCK + 3
  const x = random(count, 5)
  const y = new Float64Array(count + 1)
  for (const unit of [2, 0, 1]) reference.softcapScores({ x, y }, { count, cap: 3 }, unit, unit + 1)
  expect(y[count]).toBe(0)
  for (let at = 0; at < count; at++) expect(y[at]).toBeCloseTo(3 * Math.tanh(x[at] / 3), 12)
})
