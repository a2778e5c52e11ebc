/**
 * Linear attention of elements of any size, against its definition by logarithms: the weight of a pair is a softmax over all pairs of
 * ln Σ_d φ(q_d)·φ(k_d). And a row's bits are its own, whatever else is in the call.
 */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type AttentionCase, buildCase, ownMemory } from '../../../test/support/attention-case.ts'
import { type AttentionSpec, plainSpec } from '../../../test/support/attention-spec.ts'
import { plainKernels, wasmKernels } from '../../../test/support/family-kernels.ts'
import { runLinear } from '../../../test/support/linear-attention-runs.ts'
import { byLogarithms, ratio } from '../../../test/support/linear-by-logarithms.ts'
import { uniformNumbers } from '../../../test/support/numbers.ts'
import { wasmMemory } from '../../../test/support/wasm-memory.ts'
import { SIMD_VARIANTS, type SimdVariant } from '../../wasm/variants.ts'
import { linearAttention } from './index.ts'

const wasm = wasmMemory(64)
const RUNNERS = [
  {
    name: 'reference',
    kernels: plainKernels(linearAttention),
    precision: 'float64' as const,
    allocate: ownMemory,
  },
  ...(Object.keys(SIMD_VARIANTS) as SimdVariant[]).map(name => {
    const kernels = wasmKernels(linearAttention, wasm.memory, name)
    return { name, kernels, precision: 'float32' as const, allocate: wasm.allocate }
  }),
]
const RESULTS = ['output', 'gradQ', 'gradK', 'gradV'] as const

function build(spec: AttentionSpec, options: (typeof RUNNERS)[number]): AttentionCase {
  wasm.reset()
  return buildCase(spec, options)
}

const sizes = {
  queries: fc.constantFrom(1, 3, 50, 130),
  keys: fc.constantFrom(1, 5, 97, 200),
  dimK: fc.constantFrom(1, 2, 4, 5),
  dimV: fc.constantFrom(1, 3, 8),
  causal: fc.boolean(),
  bottomRight: fc.boolean(),
  seed: fc.nat(1e6),
}
const offset = fc.constantFrom(0, 0, 5, -20, -46, -90, -1000, -3e4, 1e9, 1e30)
const offsets = fc.array(offset, { minLength: 5, maxLength: 5 })

describe.each(RUNNERS)('$name kernels', runner => {
  it('hold at any size of the elements', () => {
    const problem = fc.record({ ...sizes, q: offsets, k: offsets, byKey: fc.constantFrom(0, 0, 30, 300) })
    fc.assert(
      fc.property(problem, ({ bottomRight, q, k, byKey, ...of }) => {
        const alignment = bottomRight ? ('bottom_right' as const) : ('top_left' as const)
        const c = build({ ...plainSpec, ...of, alignment, scale: 1 }, runner)
        const { dimK } = c.args
        for (let at = 0; at < c.q.length; at++) c.q[at] = Math.fround(c.q[at] + q[at % dimK])
        const uniform = uniformNumbers(of.seed + 9)
        let far = 0
        for (let at = 0; at < c.k.length; at++) {
          if (at % dimK === 0) far = byKey * uniform()
          c.k[at] = Math.fround(c.k[at] + k[at % dimK] - far)
        }
        runLinear(c, runner)
        const expected = byLogarithms(c)
        for (const name of RESULTS) {
          const largest = expected[name].reduce((most, x) => Math.max(most, Math.abs(x)), 1e-30)
          // gradients of a row whose values cancel are as small as rounding errors of what they are made of
          const scale = Math.max(largest, scaleOf(c, name))
          const worst = expected[name].reduce((most, x, i) => Math.max(most, Math.abs(x - c[name][i])), 0)
          expect(c[name].every(Number.isFinite), name).toBe(true)
          expect(worst, name).toBeLessThan(scale * (runner.precision === 'float64' ? 1e-9 : 3e-5))
        }
      }),
      { numRuns: 200 },
    )
  })

  it('take the values of the issue, and what lies far below', () => {
    for (const below of [-46, -53, -87, -1e3, -1e6]) {
      const c = build({ ...plainSpec, queries: 1, keys: 2, dimK: 2, dimV: 1 }, runner)
      c.q.set([below, below])
      c.k.set([below, below, below - 1, below + 1])
      c.v.set([1, 2])
      c.gradOutput.set([1])
      runLinear(c, runner)
      const far = Math.exp(1) + Math.exp(-1)
      expect(c.output[0]).toBeCloseTo((2 + 2 * far) / (2 + far), 5)
      const slope = (2 * far) / (2 + far) ** 2
      expect(c.gradK[0] + c.gradK[1]).toBeCloseTo(-slope, 5)
      expect(c.gradK[2] + c.gradK[3]).toBeCloseTo(slope, 5)
      // both dimensions of the query together move nothing
      expect(c.gradQ[0] + c.gradQ[1]).toBeCloseTo(0, 5)
      expect(c.gradQ[0]).toBeLessThan(-0.05)
    }
  })

  it('take values whose sum overflows', () => {
    for (const causal of [false, true]) {
      const c = build({ ...plainSpec, queries: 300, keys: 300, dimK: 3, dimV: 5, causal }, runner)
      c.v.fill(1e37)
      c.gradOutput.fill(0)
      runLinear(c, runner)
      for (const x of c.output) expect(x / 1e37).toBeCloseTo(1, 5)
    }
  })

  it('give a row the same bits in a chunk of its queries, behind other batches, with padding after the keys', () => {
    const problem = fc.record({
      ...sizes,
      queries: fc.integer({ min: 1, max: 250 }),
      keys: fc.integer({ min: 1, max: 300 }),
    })
    const call = fc.tuple(fc.nat(300), fc.nat(300), fc.nat(1), fc.nat(150), fc.constantFrom(0, 0, -60, 1e12))
    fc.assert(
      fc.property(problem, call, ({ bottomRight: _, ...of }, [a, b, before, padding, far]) => {
        const spec: AttentionSpec = { ...plainSpec, ...of, alignment: 'bottom_right', scale: 1 }
        const { queries, keys, causal } = of
        const first = causal ? a % queries : 0
        const end = first + 1 + (b % (queries - first))
        const whole = build(spec, runner)
        for (let at = 0; at < whole.k.length; at++)
          if (at % 7 < 3) whole.k[at] = Math.fround(whole.k[at] + far)
        const inputs = { q: whole.q.slice(), k: whole.k.slice(), v: whole.v.slice() }
        runLinear(whole, runner)
        const { dimK, dimV } = whole.args
        const expected = Array.from(whole.output.subarray(first * dimV, end * dimV))

        const seen = causal ? keys - queries + end : keys
        if (seen <= 0) return
        const part = build(
          {
            ...spec,
            batch: before + 1,
            queries: end - first,
            keys: seen + padding,
            kvLengths: [seen],
            seed: of.seed + 1,
          },
          runner,
        )
        part.q.set(inputs.q.subarray(first * dimK, end * dimK), before * (end - first) * dimK)
        part.k.set(inputs.k.subarray(0, seen * dimK), before * (seen + padding) * dimK)
        part.v.set(inputs.v.subarray(0, seen * dimV), before * (seen + padding) * dimV)
        runLinear(part, runner)
        const found = part.output.subarray(before * (end - first) * dimV)
        expect(Array.from(found)).toEqual(expected)
      }),
      { numRuns: 60 },
    )
  })
})

/** How large results of this size of values may be: what cancels in them. */
function scaleOf(c: AttentionCase, name: (typeof RESULTS)[number]): number {
  const most = (x: ArrayLike<number>) =>
    Array.from(x).reduce((largest, y) => Math.max(largest, Math.abs(y)), 0)
  if (name === 'output') return most(c.v)
  if (name === 'gradV') return most(c.gradOutput)
  const x = name === 'gradQ' ? c.q : c.k
  const slope = Array.from(x).reduce((largest, y) => Math.max(largest, ratio(y)), 0)
  return most(c.v) * most(c.gradOutput) * slope * (name === 'gradK' ? c.args.queries : 1)
}
