/**
 * The online softmax from block to block of the keys, where maxima rise and fall between them: against the float64 reference, and the
 * same bits however the range is cut.
 */
import { describe, expect, it } from 'vitest'
import { type AttentionCase, buildCase } from '../../../test/support/attention-case.ts'
import {
  caseScratch,
  referenceKernels,
  runForward,
  simdKernels,
} from '../../../test/support/attention-runs.ts'
import { type AttentionSpec, plainSpec } from '../../../test/support/attention-spec.ts'
import { wasmMemory } from '../../../test/support/wasm-memory.ts'
import { SIMD_VARIANTS, type SimdVariant } from '../../wasm/variants.ts'

const wasm = wasmMemory(64)
/** Keys whose elements are multiplied by the same factor; blocks of keys are no longer than this anywhere. */
const STRETCH = 200

const FACTORS = [
  ['all small', [1, 1, 1]],
  ['large after small', [1, 25, 1]],
  ['small after large', [25, 1, 1]],
  ['nearly nothing, then large', [1e-20, 0, 25]],
] as const

const OPTIONS: [string, Partial<AttentionSpec>][] = [
  ['every pair', {}],
  ['causal', { causal: true, alignment: 'bottom_right' }],
  ['causal, first rows without keys', { causal: true, alignment: 'bottom_right', queries: 640 }],
  ['a window', { windowLeft: 150, windowRight: 70 }],
  ['a window of one key', { windowLeft: 0, windowRight: 0 }],
  ['padding', { qLengths: [50], kvLengths: [333] }],
  ['dropout', { dropoutP: 0.3 }],
]

function scaleBlocks(c: AttentionCase, factors: readonly number[], values: number): AttentionCase {
  const { dimK, keys } = c.args
  for (let i = 0; i < c.k.length; i++) {
    const key = Math.floor(i / dimK) % keys
    c.k[i] = Math.fround(c.k[i] * factors[Math.floor(key / STRETCH) % factors.length])
  }
  for (let i = 0; i < c.v.length; i++) c.v[i] = Math.fround(c.v[i] * values)
  return c
}

function largest(values: ArrayLike<number>): number {
  return Array.from(values).reduce((most, value) => Math.max(most, Math.abs(value)), 0)
}

describe.each(Object.keys(SIMD_VARIANTS) as SimdVariant[])('the %s kernels’ softmax', variant => {
  const kernels = simdKernels(wasm.memory, variant)

  function run(
    spec: AttentionSpec,
    factors: readonly number[],
    values: number,
    entropy: boolean,
    cuts?: number,
  ) {
    wasm.reset()
    const built = buildCase(spec, { precision: 'float32', allocate: wasm.allocate })
    const c = scaleBlocks(built, factors, values)
    const scratch = wasm.scratch(caseScratch(c))
    runForward(kernels, entropy ? c : ({ ...c, entropy: undefined } as never), {
      scratch,
      ...(cuts !== undefined && { cuts }),
    })
    return {
      output: Array.from(c.output),
      logsumexp: Array.from(c.logsumexp),
      entropy: entropy ? Array.from(c.entropy) : [],
    }
  }

  describe.each(FACTORS)('%s', (_, factors) => {
    it.each(OPTIONS)('%s', (_name, options) => {
      const spec = { ...plainSpec, queries: 59, keys: 601, dimK: 16, dimV: 23, seed: 7, ...options }
      for (const values of [1, 1e30, 1e-30]) {
        const truth = scaleBlocks(buildCase(spec), factors, values)
        runForward(referenceKernels, truth)
        for (const entropy of [false, true]) {
          const found = run(spec, factors, values, entropy)
          const most = largest(truth.output)
          found.output.forEach((value, i) => {
            expect(Math.abs(value - truth.output[i])).toBeLessThan(most * 2e-5)
          })
          found.logsumexp.forEach((value, i) => {
            if (truth.logsumexp[i] === Number.NEGATIVE_INFINITY) expect(value).toBe(Number.NEGATIVE_INFINITY)
            else expect(Math.abs(value - truth.logsumexp[i])).toBeLessThan(2e-5 * (1 + Math.abs(value)))
          })
          found.entropy.forEach((value, i) => {
            expect(Math.abs(value - truth.entropy[i])).toBeLessThan(1e-4)
          })
          expect(run(spec, factors, values, entropy, 5)).toEqual(found)
        }
      }
    })
  })

  it('begins anew in rows whose first keys have scores far below 0', () => {
    // a tile's first rows see the keys before 128, whose scores are 0; its others only those behind, with scores of −200
    wasm.reset()
    const spec = { ...plainSpec, queries: 144, keys: 160, dimK: 16, dimV: 16, windowLeft: 0, windowRight: 3 }
    const c = buildCase(spec, { precision: 'float32', allocate: wasm.allocate })
    c.q.fill(1)
    c.k.fill(0, 0, 128 * 16).fill(-50, 128 * 16)
    runForward(kernels, c, { scratch: wasm.scratch(caseScratch(c)) })
    for (let i = 128; i < 144; i++) expect(c.logsumexp[i]).toBeCloseTo(Math.log(4) - 200, 4)
  })

  it('does not overflow where scores and values are large', () => {
    wasm.reset()
    const spec = { ...plainSpec, queries: 30, keys: 400, dimK: 16, dimV: 16 }
    const c = buildCase(spec, { precision: 'float32', allocate: wasm.allocate })
    c.q.fill(1)
    c.k.fill(5)
    c.v.fill(1e30)
    runForward(kernels, c, { scratch: wasm.scratch(caseScratch(c)) })
    for (const value of c.output) expect(value / 1e30).toBeCloseTo(1, 5)
  })

  it('gives the value itself where a row sees one key', () => {
    const spec = { ...plainSpec, queries: 59, keys: 59, dimK: 16, dimV: 23, windowLeft: 0, windowRight: 0 }
    const c = buildCase(spec)
    expect(run(spec, [1], 1, false).output).toEqual(Array.from(c.v))
    expect(run({ ...spec, windowLeft: -1 }, [1], 1, false).output.slice(0, 23)).toEqual(
      Array.from(c.v.slice(0, 23)),
    )
  })
})
