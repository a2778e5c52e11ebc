/**
 * The float32 kernels against the float64 reference: no further away than twice a plain float32 evaluation of the same
 * formulas, the worse of two summation orders, or one rounding of the largest element.
 */
import { describe, expect, it } from 'vitest'
import { type AttentionCase, buildCase } from '../../../test/support/attention-case.ts'
import {
  caseScratch,
  referenceKernels,
  runBackward,
  runForward,
  runMaps,
  runMaskGradient,
  simdKernels,
} from '../../../test/support/attention-runs.ts'
import { type AttentionSpec, plainSpec, seededSpecs } from '../../../test/support/attention-spec.ts'
import { squaredError, squaredRounding } from '../../../test/support/error-budget.ts'
import { plainFloat32, RESULTS, type Results } from '../../../test/support/plain-attention.ts'
import { wasmMemory } from '../../../test/support/wasm-memory.ts'
import { SIMD_VARIANTS, type SimdVariant } from '../../wasm/variants.ts'

const VARIANTS = Object.keys(SIMD_VARIANTS) as SimdVariant[]
/** A tiny tensor's plain evaluation may be exact by luck: it is judged together with its likes of other seeds. */
const SEEDS = 64

const wasm = wasmMemory(192)
const kernelSets = VARIANTS.map(variant => [variant, simdKernels(wasm.memory, variant)] as const)

type Tensors = { [N in keyof Results]?: ArrayLike<number> }

/** Everything the kernels compute of a case, in its own tensors. */
function runAll(kernels: typeof referenceKernels, c: AttentionCase, scratch: number): Tensors {
  runForward(kernels, c, { scratch })
  runMaps(kernels, c, { scratch })
  runBackward(kernels, c, { scratch })
  if (c.gradMask) runMaskGradient(kernels, c, { scratch })
  return c
}

/**
 * Asserts the budget for every variant and every result, over the spec with `seeds` different element seeds. The error
 * is the root of the mean square over all of their elements: the largest of a few roundings would be a matter of luck.
 */
function expectWithinBudget(spec: AttentionSpec, seeds: number): void {
  const plainErrors: Record<string, number> = {}
  const floors: Record<string, number> = {}
  const errors: Record<string, number> = {}
  const add = (sums: Record<string, number>, key: string, value: number) => {
    sums[key] = (sums[key] ?? 0) + value
  }
  for (let seed = spec.seed; seed < spec.seed + seeds; seed++) {
    const truthCase = buildCase({ ...spec, seed })
    const truth = runAll(referenceKernels, truthCase, 0)
    const plain = [plainFloat32(truthCase, 'ascending'), plainFloat32(truthCase, 'descending')]
    for (const name of RESULTS) {
      const right = truth[name]
      if (right === undefined) continue
      add(plainErrors, name, Math.max(...plain.map(results => squaredError(results[name], right))))
      add(floors, name, squaredRounding(right))
    }
    for (const [variant, kernels] of kernelSets) {
      wasm.reset()
      const c = buildCase({ ...spec, seed }, { precision: 'float32', allocate: wasm.allocate })
      const computed = runAll(kernels, c, wasm.scratch(caseScratch(c)))
      for (const name of RESULTS) {
        const right = truth[name]
        if (right !== undefined)
          add(errors, `${variant} ${name}`, squaredError(computed[name] as ArrayLike<number>, right))
      }
    }
  }
  const budget = (name: string) => Math.sqrt(Math.max(4 * plainErrors[name], floors[name]))
  const over = Object.entries(errors).filter(
    ([key, error]) => !(Math.sqrt(error) <= budget(key.split(' ')[1])),
  )
  const report = over.map(([key, error]) => `${key}: ${Math.sqrt(error)} > ${budget(key.split(' ')[1])}`)
  expect(report, JSON.stringify(spec)).toEqual([])
}

describe('float32 kernels stay within twice the error of a plain float32 evaluation', () => {
  it.each(seededSpecs(11, 60).map((spec, index) => [index, spec] as const))('small case %i', (_, spec) => {
    expectWithinBudget(spec, SEEDS)
  })

  const middling = {
    queries: [17, 59, 97],
    keys: [59, 97, 111],
    dimK: [7, 16, 64],
    dimV: [3, 17, 64],
    batch: [1],
    group: [1, 2],
  }
  it.each(seededSpecs(12, 30, middling).map((spec, index) => [index, spec] as const))(
    'middling case %i',
    (_, spec) => {
      expectWithinBudget(spec, 4)
    },
  )

  it.each([1, 3, 7, 17, 59, 97, 111, 257])('%i queries and keys', size => {
    expectWithinBudget({ ...plainSpec, queries: size, keys: size, dimK: 16, dimV: 16 }, size < 20 ? SEEDS : 2)
  })

  it.each([
    ['59×257, d 33/49', { queries: 59, keys: 257, dimK: 33, dimV: 49 }],
    [
      '257×59, causal, bottom right',
      { queries: 257, keys: 59, causal: true, alignment: 'bottom_right' as const },
    ],
    ['1025×97, causal', { queries: 1025, keys: 97, causal: true }],
    [
      '97×1025, window',
      { queries: 97, keys: 1025, windowLeft: 40, windowRight: 3, alignment: 'bottom_right' as const },
    ],
    ['dimensions beyond one pack', { queries: 30, keys: 110, dimK: 300, dimV: 600 }],
  ])('%s', (_, sizes) => {
    expectWithinBudget({ ...plainSpec, dimK: 16, dimV: 16, ...sizes }, 1)
  })

  it.each([
    ['plain', {}],
    ['causal', { causal: true }],
    ['softcap and entropy', { softcap: 30, entropyCoefficient: 0.5 }],
    ['ALiBi and a float mask', { alibi: true, maskKind: 'float' as const }],
  ])('scores near ±100: %s', (_, options) => {
    // q·k/√d of elements with standard deviation σ has standard deviation σ²: 100 at three deviations
    expectWithinBudget(
      { ...plainSpec, queries: 59, keys: 97, dimK: 64, dimV: 17, magnitude: 5.8, ...options },
      2,
    )
  })

  it('every mask and option at once', () => {
    expectWithinBudget(
      {
        ...plainSpec,
        batch: 2,
        kvHeads: 2,
        group: 2,
        queries: 59,
        keys: 111,
        dimK: 17,
        dimV: 19,
        softcap: 5,
        causal: true,
        alignment: 'bottom_right',
        windowLeft: 50,
        windowRight: 0,
        alibi: true,
        maskKind: 'float',
        maskBroadcast: [false, true, false, false],
        dropoutP: 0.2,
        seedLow: 5,
        seedHigh: 9,
        qLengths: [50, 59],
        kvLengths: [111, 70],
        entropyCoefficient: 0.3,
      },
      2,
    )
  })
})
