import { describe, expect, it } from 'vitest'
import type { AnyTensors, Elements, Op } from '../ops/define-op.ts'
import { selfCheck } from '../self-check.ts'
import { type Run, SimdModule } from '../wasm/simd-module.ts'
import { SIMD_VARIANTS } from '../wasm/variants.ts'
import { chooseVariant } from './variant-choice.ts'

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
  const damage = (result: Elements) => {
    result[result.length - 1] += 0.01 * Math.max(...result)
  }

  /** A module one of whose products has a last element that is off by a hundredth. */
  class Broken extends SimdModule {
    readonly #name: string
    readonly #result: string

    constructor(name: string, result: string) {
      super(memory, 'wide')
      this.#name = name
      this.#result = result
    }

    override kernel<O extends Op>(op: O): Run<O> {
      const run = super.kernel(op)
      if (op.name !== this.#name) return run
      return (t, ...rest) => {
        run(t, ...rest)
        const tensors: AnyTensors = { ...t }
        damage(tensors[this.#result] as Elements)
      }
    }
  }

  it.each([
    ['linearForward', 'y'],
    ['linearBackwardInput', 'gradX'],
    ['linearBackwardWeight', 'gradWeight'],
    ['attentionForward', 'output'],
    ['attentionBackward', 'gradQ'],
  ])('sees one wrong element of %s', (name, result) => {
    expect(selfCheck(new SimdModule(memory, 'wide'))).toBeLessThan(1e-5)
    expect(selfCheck(new Broken(name, result))).toBeGreaterThan(1e-3)
  })
})
