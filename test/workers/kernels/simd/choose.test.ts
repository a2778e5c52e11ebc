import { describe, expect, it } from 'vitest'
import type { KernelSet } from '../../../../workers/kernels/kernel-set.ts'
import { chooseVariant } from '../../../../workers/kernels/simd/choose.ts'
import { createSimdKernels, SIMD_VARIANTS } from '../../../../workers/kernels/simd/index.ts'
import { selfCheck } from '../../../../workers/kernels/simd/self-check.ts'

/** Page 0 is the modules', and the choice needs less than 1 MiB. */
const memory = new WebAssembly.Memory({ initial: 17, maximum: 17, shared: true })

describe('the choice of a variant', () => {
  it('checks and times every one, and takes the fastest', () => {
    const { variant, measurements } = chooseVariant(memory)
    expect(measurements.map(m => m.variant)).toEqual(Object.keys(SIMD_VARIANTS))
    for (const { error, failure } of measurements) {
      expect(failure).toBeUndefined()
      expect(error).toBeLessThan(1e-5)
    }
    const fastest = measurements.toSorted((a, b) => b.gigaflops! - a.gigaflops!)[0]
    expect(variant).toBe(fastest.variant)
  })

  it('is not asked where one is forced', () => {
    const { variant, measurements } = chooseVariant(memory, { forced: 'simd128' })
    expect(variant).toBe('simd128')
    expect(measurements).toHaveLength(1)
    expect(measurements[0].gigaflops).toBeUndefined()
  })
})

describe('the self-check', () => {
  const kernels = createSimdKernels(memory, 'wide')

  /** The kernels, but one whose last element is off by a hundredth. */
  function broken(op: keyof KernelSet, result: string): KernelSet {
    const run = (t: Record<string, Float32Array>, ...rest: unknown[]) => {
      ;(kernels[op] as (...all: unknown[]) => void)(t, ...rest)
      t[result][t[result].length - 1] += 0.01 * Math.max(...t[result])
    }
    return { ...kernels, [op]: run }
  }

  it.each([
    ['attentionForward', 'output'],
    ['attentionBackward', 'gradQ'],
    ['linearForward', 'y'],
    ['linearBackwardInput', 'gradX'],
    ['linearBackwardWeight', 'gradWeight'],
  ] as const)('sees one wrong element of %s', (op, result) => {
    expect(selfCheck(memory, kernels)).toBeLessThan(1e-5)
    expect(selfCheck(memory, broken(op, result))).toBeGreaterThan(1e-3)
  })
})
