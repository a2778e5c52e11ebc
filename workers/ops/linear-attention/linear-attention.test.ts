/** Linear attention: against the sum over all pairs, against central differences, and float32 against float64. */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  type Allocate,
  type AttentionCase,
  buildCase,
  ownMemory,
} from '../../../test/support/attention-case.ts'
import { type AttentionSpec, attentionSpecs, plainSpec } from '../../../test/support/attention-spec.ts'
import { plainKernels, wasmKernels } from '../../../test/support/family-kernels.ts'
import { runLinear } from '../../../test/support/linear-attention-runs.ts'
import { linearByTheBook } from '../../../test/support/plain-linear-attention.ts'
import { wasmMemory } from '../../../test/support/wasm-memory.ts'
import { SIMD_VARIANTS, type SimdVariant } from '../../wasm/variants.ts'
import { linearAttention } from './index.ts'

const wasm = wasmMemory(192)
const REFERENCE = { name: 'reference', kernels: plainKernels(linearAttention), precision: 'float64' as const }
const RUNNERS = [
  REFERENCE,
  ...(Object.keys(SIMD_VARIANTS) as SimdVariant[]).map(name => {
    return { name, kernels: wasmKernels(linearAttention, wasm.memory, name), precision: 'float32' as const }
  }),
]
const RESULTS = ['output', 'gradQ', 'gradK', 'gradV'] as const
const STEP = 1e-4
const AWKWARD = [1, 3, 7, 17, 97, 200]

function build(
  spec: AttentionSpec,
  options: { precision: 'float64' | 'float32'; allocate: Allocate },
): AttentionCase {
  wasm.reset()
  return buildCase({ ...spec, maskKind: 'none', windowLeft: -1, windowRight: -1 }, options)
}

const onlyLinear = { magnitude: [0.5, 2] }
const own = { ...REFERENCE, allocate: ownMemory }

describe('the reference', () => {
  it('is the sum over all attended pairs, forward and backward', () => {
    const specs = attentionSpecs({ ...onlyLinear, queries: AWKWARD, keys: AWKWARD })
    fc.assert(
      fc.property(specs, spec => {
        const c = build(spec, own)
        runLinear(c, own)
        const expected = linearByTheBook(c)
        for (const name of RESULTS) {
          const largest = expected[name].reduce((most, value) => Math.max(most, Math.abs(value)), 1)
          const worst = expected[name].reduce((most, x, i) => Math.max(most, Math.abs(x - c[name][i])), 0)
          expect(worst / largest, name).toBeLessThan(1e-11)
        }
      }),
      { numRuns: 60 },
    )
  })

  it('has the gradients that central differences have', () => {
    const specs = attentionSpecs({ queries: [3, 100], keys: [7, 100], dimK: [1, 3], dimV: [1, 3] })
    const picks = fc.array(fc.nat(), { minLength: 3, maxLength: 3 })
    fc.assert(
      fc.property(specs, picks, (spec, indices) => {
        const c = build(spec, own)
        const loss = () => {
          runLinear(c, own)
          let sum = 0
          for (let i = 0; i < c.output.length; i++) sum += c.output[i] * c.gradOutput[i]
          return sum
        }
        loss()
        const gradients = [c.gradQ.slice(), c.gradK.slice(), c.gradV.slice()]
        for (const [which, x] of [c.q, c.k, c.v].entries()) {
          const gradient = gradients[which]
          const largest = Math.max(1e-2, ...Array.from(gradient, Math.abs))
          for (const at of indices.map(index => index % x.length)) {
            const value = x[at]
            // φ″ jumps at 0: differences across it are not the derivative
            if (Math.abs(value) <= STEP) continue
            x[at] = value + STEP
            const above = loss()
            x[at] = value - STEP
            const difference = (above - loss()) / (2 * STEP)
            x[at] = value
            expect(Math.abs(difference - gradient[at]) / largest, `${which} ${at}`).toBeLessThan(1e-6)
          }
        }
      }),
      { numRuns: 10 },
    )
  })
})

describe.each(RUNNERS)('$name kernels', runner => {
  const options = { ...runner, allocate: runner.precision === 'float64' ? ownMemory : wasm.allocate }
  const copies = (c: AttentionCase) => Object.fromEntries(RESULTS.map(name => [name, Array.from(c[name])]))

  it('give the same bits however the range is cut', () => {
    const specs = attentionSpecs({
      ...onlyLinear,
      queries: [17, 97, 300],
      keys: [3, 111, 300],
      dimK: [5, 16],
    })
    fc.assert(
      fc.property(specs, fc.nat(1000), (spec, cuts) => {
        const whole = build(spec, options)
        runLinear(whole, options)
        const expected = copies(whole)
        const cut = build(spec, options)
        runLinear(cut, { ...options, cuts })
        expect(copies(cut)).toEqual(expected)
      }),
      { numRuns: 10 },
    )
  })

  it('let nothing through that is not attended, not even a NaN', () => {
    const specs = attentionSpecs({ ...onlyLinear, queries: [3, 17, 130], keys: [7, 110], dimK: [4, 7] })
    fc.assert(
      fc.property(specs, fc.constantFrom(Number.NaN, Number.POSITIVE_INFINITY), (spec, bad) => {
        const clean = build(spec, options)
        runLinear(clean, options)
        const expected = copies(clean)
        const c = build(spec, options)
        c.args.nonFinite = true
        const { batch, heads, kvHeads, queries, keys, dimK, dimV } = c.args
        const { causal, alignment, pastKeys } = c.spec
        for (let b = 0; b < batch; b++) {
          const [n, m] = [c.qLengths?.[b] ?? queries, c.kvLengths?.[b] ?? keys]
          const shift = alignment === 'bottom_right' ? m - n : pastKeys
          const seesNothing = (i: number) => i >= n || m === 0 || (causal && i + shift < 0)
          const seen = (j: number) => j < m && n > 0 && (!causal || j <= n - 1 + shift)
          for (let head = b * heads; head < (b + 1) * heads; head++) {
            for (let i = 0; i < queries; i++) {
              if (!seesNothing(i)) continue
              const row = head * queries + i
              c.q.fill(bad, row * dimK, (row + 1) * dimK)
              c.gradOutput.fill(bad, row * dimV, (row + 1) * dimV)
            }
          }
          for (let head = b * kvHeads; head < (b + 1) * kvHeads; head++) {
            for (let j = 0; j < keys; j++) {
              if (seen(j)) continue
              const key = head * keys + j
              c.k.fill(bad, key * dimK, (key + 1) * dimK)
              c.v.fill(bad, key * dimV, (key + 1) * dimV)
            }
          }
        }
        runLinear(c, options)
        for (const name of RESULTS) {
          const worst = expected[name].reduce((most, value, index) => {
            return Math.max(most, Math.abs(value - c[name][index]) / (1 + Math.abs(value)))
          }, 0)
          expect(worst, name).toBeLessThan(1e-3)
        }
      }),
      { numRuns: 60 },
    )
  })

  it('keep a NaN to the causal rows that attend to it', () => {
    const c = build({ ...plainSpec, queries: 20, keys: 20, causal: true }, options)
    c.args.nonFinite = true
    c.v[10 * 4] = Number.NaN
    runLinear(c, options)
    const bad = Array.from({ length: 20 }, (_, i) => Number.isNaN(c.output[4 * i]))
    expect(bad).toEqual(Array.from({ length: 20 }, (_, i) => i >= 10))
  })

  it('take sizes of 0, and rows without keys', () => {
    for (const size of [{ batch: 0 }, { queries: 0 }, { keys: 0 }, { kvLengths: [0] }, { qLengths: [0] }]) {
      for (const causal of [false, true]) {
        const c = build({ ...plainSpec, ...size, causal }, options)
        runLinear(c, options)
        for (const name of RESULTS) expect(c[name].every((x: number) => x === 0)).toBe(true)
      }
    }
  })
})

describe('float32 kernels stay within twice the error of a plain float32 evaluation', () => {
  const cases: [string, Partial<AttentionSpec>, number][] = [
    ['1', { queries: 1, keys: 1 }, 64],
    ['3×7', { queries: 3, keys: 7, dimK: 5, dimV: 3 }, 64],
    ['59×97', { queries: 59, keys: 97, dimK: 17, dimV: 19 }, 8],
    ['59×97, causal', { queries: 59, keys: 97, dimK: 17, dimV: 19, causal: true }, 8],
    ['257, causal', { queries: 257, keys: 257, dimK: 8, dimV: 5, causal: true }, 1],
    ['257×111, bottom right', { queries: 257, keys: 111, causal: true, alignment: 'bottom_right' }, 2],
    ['111×257, past', { queries: 111, keys: 257, causal: true, pastKeys: 50, dimK: 32, dimV: 24 }, 2],
    ['1025', { queries: 30, keys: 1025, dimK: 33, dimV: 17 }, 1],
    [
      'groups and lengths',
      {
        batch: 2,
        kvHeads: 2,
        group: 3,
        queries: 59,
        keys: 111,
        qLengths: [50],
        kvLengths: [100],
        causal: true,
      },
      2,
    ],
    ['large elements', { queries: 59, keys: 97, magnitude: 6, dimK: 16 }, 4],
  ]
  it.each(cases)('%s', (_, more, seeds) => {
    const errors: Record<string, number> = {}
    const budgets = [0, 0, 0, 0]
    for (let seed = 1; seed <= seeds; seed++) {
      const spec = { ...plainSpec, ...more, seed }
      const truth = build(spec, own)
      runLinear(truth, own)
      const plain = linearByTheBook(truth, Math.fround)
      for (const [index, result] of RESULTS.entries()) {
        const right = truth[result]
        const other = result === 'output' ? plain.outputBySums : plain[result]
        const plainErrors = [0, 0]
        let largest = 0
        for (let i = 0; i < right.length; i++) {
          plainErrors[0] += (plain[result][i] - right[i]) ** 2
          plainErrors[1] += (other[i] - right[i]) ** 2
          largest = Math.max(largest, Math.abs(right[i]))
        }
        budgets[index] += 4 * Math.max(...plainErrors) + (right.length * (2 ** -24 * largest) ** 2) / 3
      }
      for (const { kernels, name } of RUNNERS.slice(1)) {
        const options = { kernels, precision: 'float32' as const, allocate: wasm.allocate }
        const c = build(spec, options)
        runLinear(c, options)
        for (const result of RESULTS) {
          const key = `${name} ${result}`
          for (let i = 0; i < truth[result].length; i++) {
            errors[key] = (errors[key] ?? 0) + (c[result][i] - truth[result][i]) ** 2
          }
        }
      }
    }
    for (const [key, error] of Object.entries(errors)) {
      const budget = budgets[RESULTS.findIndex(result => key.endsWith(result))]
      expect(Math.sqrt(error), key).toBeLessThanOrEqual(Math.sqrt(budget))
    }
  })
})
