import { describe, expect, it } from 'vitest'
import { ELEMENT_BLOCK } from '../element-block.ts'
import { initialise } from './kernel.ts'
import { normalQuantile } from './normal-quantile.ts'
import type { InitialiseArgs } from './op.ts'

const COUNT = 100_000

function parameters(
  more: Partial<InitialiseArgs>,
  into: Float64Array | Float32Array = new Float64Array(COUNT),
) {
  const args: InitialiseArgs = {
    count: into.length,
    distribution: 'uniform',
    scale: 1,
    seedLow: 42,
    seedHigh: 0,
    stream: 0,
    ...more,
  }
  initialise({ into }, args, 0, Math.ceil(into.length / ELEMENT_BLOCK))
  return into
}

/** Mean of f(x). */
function mean(x: Float64Array | Float32Array, f: (value: number, index: number) => number): number {
  let sum = 0
  for (let i = 0; i < x.length; i++) sum += f(x[i], i)
  return sum / x.length
}

describe('random parameters', () => {
  it.each([
    ['uniform', 1 / 3, 1 / 5],
    ['normal', 1, 3],
  ] as const)(
    '%s: moments of %f and %f, no correlation between neighbours or streams',
    (distribution, second, fourth) => {
      const x = parameters({ distribution, scale: 1 })
      const y = parameters({ distribution, stream: 1 })
      const z = parameters({ distribution, seedHigh: 1 })
      const fluctuation = 5 / Math.sqrt(COUNT)
      expect(Math.abs(mean(x, v => v))).toBeLessThan(fluctuation)
      expect(Math.abs(mean(x, v => v ** 2) - second)).toBeLessThan(2 * second * fluctuation)
      expect(Math.abs(mean(x, v => v ** 3))).toBeLessThan(4 * second * fluctuation)
      expect(Math.abs(mean(x, v => v ** 4) - fourth)).toBeLessThan(4 * fourth * fluctuation)
      for (const other of [y, z, Float64Array.from(x, (_, i) => x[(i + 1) % COUNT])]) {
        expect(Math.abs(mean(x, (v, i) => v * other[i]))).toBeLessThan(second * fluctuation)
      }
    },
  )

  it('stay within their scale', () => {
    const x = parameters({ scale: 0.25 })
    expect(x.every(value => -0.25 <= value && value < 0.25)).toBe(true)
    expect(Math.sqrt(mean(parameters({ distribution: 'normal', scale: 0.02 }), v => v * v))).toBeCloseTo(
      0.02,
      3,
    )
  })

  // the uniform bits and, to the last place, the normal numbers agree with another program in 40-digit arithmetic
  it('are these, on every machine', () => {
    const few = (more: Partial<InitialiseArgs>) => Array.from(parameters(more, new Float64Array(4)))
    expect(few({})).toEqual([
      0.22000713484793266, 0.28462109430475047, -0.939721135691745, -0.23670347044503792,
    ])
    expect(few({ distribution: 'normal', stream: 3 })).toEqual([
      -0.5241187808120652, 0.18840450152832727, 0.5518101642656733, -0.9073838351526491,
    ])
    expect(few({ seedLow: 0xffffffff, seedHigh: 0xdeadbeef, stream: 7, scale: 0.5 })).toEqual([
      0.32164556571333447, 0.3795837947921743, -0.3252312585330588, -0.40334868070859276,
    ])
  })

  it('are the float64 ones rounded, in float32', () => {
    const wide = parameters({ distribution: 'normal' })
    expect(parameters({ distribution: 'normal' }, new Float32Array(COUNT))).toEqual(Float32Array.from(wide))
  })
})

describe('the quantile of the normal distribution', () => {
  // by inverting erf in 40-digit arithmetic
  it.each([
    [1e-16, -8.222082216130435],
    [1e-9, -5.9978070150076865],
    [0.025, -1.9599639845400543],
    [0.3, -0.5244005127080408],
    [0.5, 0],
    [0.9, 1.2815515655446004],
    [0.999, 3.090232306167813],
  ])('of %f', (p, quantile) => {
    expect(Math.abs(normalQuantile(p) - quantile)).toBeLessThanOrEqual(4e-16 * Math.abs(quantile))
  })
})
