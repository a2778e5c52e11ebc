/** Plain attention beside float64's: off by what its dtype costs, and every number one of the dtype. */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { OpCase } from '../../../test/support/op-case.ts'
import { truthOf } from '../../../test/support/op-runner.ts'
import { roundTo } from '../../text/float16.ts'
import { cases as attentionCases } from '../attention/cases.ts'
import { attentionForward } from '../attention/op.ts'
import { type Dtype, exactCase, isOfBoth, plainCase } from './cases.ts'
import { plainForward } from './forward.ts'

const EPS: Record<Dtype, number> = {
  float32: 2 ** -23,
  float16: 2 ** -10,
  bfloat16: 2 ** -7,
  float8_e4m3: 2 ** -3,
}

const REALS = ['q', 'k', 'v', 'slopes', 'gradOutput', 'weightTerms']

/** The case with numbers of the dtype, its keys gone through in one part. */
function inDtype(c: OpCase, dtype: Dtype): OpCase {
  const rounded = Object.entries(c.inputs).map(([name, values]) => {
    const isReal = REALS.includes(name) || (name === 'mask' && values instanceof Float64Array)
    return [name, isReal ? values.map(x => roundTo(dtype, x)) : values]
  })
  const { gradQParts: _, ...outputs } = c.outputs
  // plain kernels know heads first alone: a program that compares puts tensors in that order
  const args = { ...c.args, parts: 1, apart: false, positionsFirst: false }
  return { ...c, args, inputs: Object.fromEntries(rounded), outputs }
}

/** A backward case whose forward results are those of a forward pass: float64's, or a plain one's. */
function consistent(c: OpCase, dtype?: Dtype): OpCase {
  if (c.op.name !== 'attentionBackward') return c
  const { batch, heads, queries, dimV } = c.args as Record<string, number>
  const rows = batch * heads * queries
  const known = Object.entries(c.inputs).filter(([name]) => name in attentionForward.tensors)
  const outputs = { output: rows * dimV, denominator: 2 * rows, logsumexp: rows, entropy: rows }
  const forward = { op: attentionForward, args: c.args, inputs: Object.fromEntries(known), outputs }
  const { output, denominator, entropy } = truthOf(dtype === undefined ? forward : plainCase(forward, dtype))
  return { ...c, inputs: { ...c.inputs, output, denominator, ...(c.inputs.entropy && { entropy }) } }
}

describe.each(['float32', 'float16', 'bfloat16', 'float8_e4m3'] as const)('%s', dtype => {
  const drawn = fc
    .sample(attentionCases.filter(isOfBoth), { seed: 11, numRuns: 60 })
    .map(c => inDtype(c, dtype))
  const plain = (c: OpCase) => truthOf(plainCase(consistent(c, dtype), dtype))

  it('is as far from float64 as the dtype’s rounding is', () => {
    for (const c of drawn) {
      const truth = truthOf(consistent(c))
      const found = plain(c)
      for (const name of Object.keys(c.outputs)) {
        if (['delta', 'denominator'].includes(name)) continue
        const largest = truth[name].reduce(
          (max, x) => (Number.isFinite(x) ? Math.max(max, Math.abs(x)) : max),
          0,
        )
        const wrong = truth[name].findIndex(
          (x, at) =>
            !(Object.is(x, found[name][at]) || x === found[name][at]) &&
            !(Math.abs(x - found[name][at]) <= 100 * EPS[dtype] * (largest + 1)),
        )
        expect([name, wrong, truth[name][wrong], found[name][wrong]]).toEqual([
          name,
          -1,
          undefined,
          undefined,
        ])
      }
    }
  })

  it('gives numbers of the dtype', () => {
    for (const c of drawn) {
      const found = plain(c)
      for (const name of Object.keys(c.outputs)) {
        if (name === 'denominator' || name === 'delta') continue
        const numbers = found[name].filter(x => Math.abs(x) < Number.POSITIVE_INFINITY)
        expect(numbers.every(x => Object.is(roundTo(dtype, x), x))).toBe(true)
      }
    }
  })
})

it('in float64 gives what the reference gives', () => {
  const drawn = fc.sample(attentionCases.filter(isOfBoth), { seed: 12, numRuns: 120 })
  for (const c of drawn.map(each => inDtype(each, 'float32'))) {
    const own = consistent(c)
    const truth = truthOf(own)
    const found = truthOf(exactCase(plainCase(own, 'float32')))
    for (const name of Object.keys(c.outputs)) {
      if (name === 'delta' || name === 'gradQParts') continue
      const largest = truth[name].reduce(
        (max, x) => (Number.isFinite(x) ? Math.max(max, Math.abs(x)) : max),
        0,
      )
      const wrong = truth[name].findIndex(
        (x, at) =>
          !Object.is(x, found[name][at]) && !(Math.abs(x - found[name][at]) <= 1e-12 * (largest + 1)),
      )
      expect([name, wrong, truth[name][wrong], found[name][wrong]]).toEqual([name, -1, undefined, undefined])
    }
  }
})

it('by hand: two keys in bfloat16, and the extremes of the row', () => {
  const one = new Float64Array(1)
  const tensors = {
    q: Float64Array.of(1),
    k: Float64Array.of(1, 2),
    v: Float64Array.of(1, 3),
    output: one,
    denominator: new Float64Array(2),
    logsumexp: new Float64Array(1),
    weights: new Float64Array(2),
    extremes: new Float64Array(3),
  }
  const { args } = fc.sample(attentionCases.filter(isOfBoth), { seed: 1, numRuns: 1 })[0]
  const sizes = {
    batch: 1,
    heads: 1,
    kvHeads: 1,
    queries: 1,
    keys: 2,
    dimK: 1,
    dimV: 1,
    scale: 1,
    softcap: 0,
  }
  const plain = { ...args, ...sizes, maskKind: 'none', dropoutP: 0, earlier: 0, dtype: 'bfloat16' }
  plainForward(tensors, plain as never, 0, 1)
  // 1/(1 + e) = 0.26894, e/(1 + e) = 0.73106: the nearest numbers with 8 bits
  expect([...tensors.weights]).toEqual([0.26953125, 0.73046875])
  // 0.26953125 + 3 · 0.73046875 = 2.4609375, between 2.453125 and 2.46875: a tie goes to the even one
  expect(tensors.output[0]).toBe(2.46875)
  expect(tensors.logsumexp[0]).toBe(2.3125)
  expect([...tensors.extremes]).toEqual([2, 1, 1])
})
