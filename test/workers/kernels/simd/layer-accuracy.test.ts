/**
 * The float32 kernels of layers against the float64 reference: no further away than twice a plain float32 evaluation of the
 * same formulas, the worse of two summation orders, or one rounding of the largest element.
 */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { referenceKernels } from '../../../../workers/kernels/reference/index.ts'
import { createSimdKernels, SIMD_VARIANTS, type SimdVariant } from '../../../../workers/kernels/simd/index.ts'
import {
  activationSpecs,
  buildLayerCase,
  type LayerSpec,
  layerScratchBytes,
  linearSpecs,
  normSpecs,
  qkNormSpecs,
  ropeSpecs,
  runLayer,
  simpleSpecs,
} from '../layer-case.ts'
import { squaredError, squaredRounding } from './budget.ts'
import { plainLayer } from './plain-layers.ts'
import { wasmMemory } from './wasm-memory.ts'

const VARIANTS = Object.keys(SIMD_VARIANTS) as SimdVariant[]
const wasm = wasmMemory(64)
const kernelSets = VARIANTS.map(variant => [variant, createSimdKernels(wasm.memory, variant)] as const)

/** A small tensor's plain evaluation may be exact by luck: it is judged together with its likes of other seeds. */
const ELEMENTS = 1024

/** Root-mean-square errors over all elements of the spec with different element seeds. */
function expectWithinBudget(spec: LayerSpec): void {
  const lengths = Object.values(buildLayerCase(spec).outputs)
  const seeds = Math.ceil(ELEMENTS / Math.min(...lengths))
  const plainErrors: Record<string, number> = {}
  const floors: Record<string, number> = {}
  const errors: Record<string, number> = {}
  const add = (sums: Record<string, number>, key: string, value: number) => {
    sums[key] = (sums[key] ?? 0) + value
  }
  for (let seed = spec.seed; seed < spec.seed + seeds; seed++) {
    const c = buildLayerCase({ ...spec, seed })
    const truth = runLayer(referenceKernels, c)
    const plain = [plainLayer(c, 'ascending'), plainLayer(c, 'descending')]
    for (const [name, right] of Object.entries(truth)) {
      add(plainErrors, name, Math.max(...plain.map(results => squaredError(results[name], right))))
      add(floors, name, squaredRounding(right))
    }
    for (const [variant, kernels] of kernelSets) {
      wasm.reset()
      const scratch = wasm.scratch(layerScratchBytes(c))
      const computed = runLayer(kernels, c, { precision: 'float32', allocate: wasm.allocate, scratch })
      for (const [name, right] of Object.entries(truth)) {
        add(errors, `${variant} ${name}`, squaredError(computed[name], right))
      }
    }
  }
  const budget = (key: string) => {
    const name = key.split(' ')[1]
    return Math.sqrt(Math.max(4 * plainErrors[name], floors[name]))
  }
  const over = Object.entries(errors).filter(([key, error]) => !(Math.sqrt(error) <= budget(key)))
  const report = over.map(([key, error]) => `${key}: ${Math.sqrt(error)} > ${budget(key)}`)
  expect(report, JSON.stringify(spec)).toEqual([])
}

const numbered = <T>(specs: T[]) => specs.map((spec, index) => [index, spec] as const)

describe('float32 kernels of layers stay within twice the error of a plain float32 evaluation', () => {
  it.each(numbered(fc.sample(linearSpecs, { seed: 21, numRuns: 60 })))('product %i', (_, spec) => {
    expectWithinBudget(spec)
  })

  it.each([
    ['one chunk of depth and a bit', { positions: 50, widthIn: 257, widthOut: 33 }],
    ['several chunks, several blocks', { positions: 101, widthIn: 600, widthOut: 530 }],
    ['eight heads of 64', { batch: 2, positions: 51, headsIn: 8, widthIn: 64, headsOut: 8, widthOut: 64 }],
  ])('%s', (_, sizes) => {
    for (const op of ['linearForward', 'linearBackwardInput', 'linearBackwardWeight'] as const) {
      const plain = { batch: 1, headsIn: 1, headsOut: 1, bias: true, residual: true, careful: false, seed: 5 }
      expectWithinBudget({ op, ...plain, ...sizes })
    }
  })

  it.each(numbered(fc.sample(normSpecs, { seed: 22, numRuns: 60 })))('norm %i', (_, spec) => {
    expectWithinBudget(spec)
  })

  it.each(numbered(fc.sample(activationSpecs, { seed: 23, numRuns: 60 })))('activation %i', (_, spec) => {
    expectWithinBudget(spec)
  })

  it.each(numbered(fc.sample(qkNormSpecs, { seed: 25, numRuns: 30 })))('query-key norm %i', (_, spec) => {
    expectWithinBudget(spec)
  })

  it.each(numbered(fc.sample(ropeSpecs, { seed: 26, numRuns: 30 })))('rotation %i', (_, spec) => {
    expectWithinBudget(spec)
  })

  const sums = simpleSpecs.filter(({ op }) => op !== 'dropoutRows')
  it.each(numbered(fc.sample(sums, { seed: 24, numRuns: 30 })))('sum %i', (_, spec) => {
    expectWithinBudget(spec)
  })
})
