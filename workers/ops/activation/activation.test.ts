/** Activations against their formulas, and their gradients against differences. */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { expectClose, expectGradient } from '../../../test/support/gradient-check.ts'
import type { OpCase } from '../../../test/support/op-case.ts'
import { RUNNERS, truthOf } from '../../../test/support/op-runner.ts'
import { activationCase, activationSpecs } from './cases.ts'
import { type ActivationArgs, activationBackward, activationForward, ELEMENT_BLOCK } from './op.ts'
import * as reference from './reference.ts'

/** ∫ of the normal density up to x, by Simpson's rule: nothing in common with the kernel. */
function cumulative(x: number): number {
  const steps = 4000
  const h = x / steps
  const density = (z: number) => Math.exp((-z * z) / 2) / Math.sqrt(2 * Math.PI)
  let sum = density(0) + density(x)
  for (let i = 1; i < steps; i++) sum += (i % 2 === 1 ? 4 : 2) * density(i * h)
  return 0.5 + (sum * h) / 3
}

describe('activations', () => {
  const silu = (x: number) => x / (1 + Math.exp(-x))
  const gelu = (x: number) => x * cumulative(x)
  const geluTanh = (x: number) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)))
  const right: Record<ActivationArgs['kind'], (x: number, gate: number) => number> = {
    relu: x => (x > 0 ? x : 0),
    gelu,
    gelu_tanh: geluTanh,
    silu,
    quick_gelu: x => x / (1 + Math.exp(-1.702 * x)),
    swiglu: (x, gate) => silu(gate) * x,
    geglu: (x, gate) => gelu(gate) * x,
    geglu_tanh: (x, gate) => geluTanh(gate) * x,
  }

  it('over random sizes', () => {
    fc.assert(
      fc.property(activationSpecs, spec => {
        const c = activationCase({ ...spec, backward: false, count: Math.min(spec.count, 300) })
        const { x, gate } = c.inputs
        expectClose(
          truthOf(c).y,
          Array.from(x, (value, i) => right[spec.kind](value, gate?.[i])),
        )
      }),
    )
  })

  it.each(['gelu', 'gelu_tanh', 'silu', 'quick_gelu', 'relu'] as const)(
    '%s at the ends of the line',
    kind => {
      const x = Float64Array.of(Number.NEGATIVE_INFINITY, -1e300, -60, 0, 60, 1e300, Number.POSITIVE_INFINITY)
      const args: ActivationArgs = { kind, count: 7 }
      const values = truthOf({ op: activationForward, args, inputs: { x }, outputs: { y: 7 } }).y
      const inputs = { x, gradY: new Float64Array(7).fill(1) }
      const slopes = truthOf({ op: activationBackward, args, inputs, outputs: { gradX: 7 } }).gradX
      for (let i = 0; i < 7; i++) {
        if (x[i] > 0) expect(values[i]).toBe(x[i])
        else expect(Math.abs(values[i])).toBeLessThan(1e-20)
        if (x[i] !== 0) expect(slopes[i]).toBeCloseTo(x[i] > 0 ? 1 : 0, 20)
      }
      expect(slopes[3]).toBe(kind === 'relu' ? 0 : 0.5)
    },
  )

  it('relu has no slope where x is NaN', () => {
    const inputs = { x: Float64Array.of(Number.NaN, -0, 3), gradY: Float64Array.of(2, 2, 2) }
    const args: ActivationArgs = { kind: 'relu', count: 3 }
    const { gradX } = truthOf({ op: activationBackward, args, inputs, outputs: { gradX: 3 } })
    expect([gradX[0], Math.abs(gradX[1]), gradX[2]]).toEqual([Number.NaN, 0, 2])
  })

  it.each(['silu', 'swiglu'] as const)(
    '%s: a unit is a block of elements, the last one what is left',
    kind => {
      const count = 2 * ELEMENT_BLOCK + 3
      const args: ActivationArgs = { kind, count }
      const [x, gate, gradY] = [0.5, -2, 3].map(value => new Float64Array(count).fill(value))
      const written = (unit: number) => {
        const [y, gradX, gradGate] = [0, 0, 0].map(() => new Float64Array(count + 5).fill(7))
        const gated = kind === 'swiglu'
        reference.activationForward({ x, y, ...(gated && { gate }) }, args, unit, unit + 1)
        const gradients = { gradX, ...(gated && { gate, gradGate }) }
        reference.activationBackward({ x, gradY, ...gradients }, args, unit, unit + 1)
        return (gated ? [y, gradX, gradGate] : [y, gradX]).map(values => [
          values.findIndex(value => value !== 7),
          values.findLastIndex(value => value !== 7) + 1,
          values.filter(value => value !== 7).length,
        ])
      }
      for (const [unit, begin, end] of [
        [0, 0, ELEMENT_BLOCK],
        [1, ELEMENT_BLOCK, 2 * ELEMENT_BLOCK],
        [2, 2 * ELEMENT_BLOCK, count],
      ]) {
        for (const each of written(unit)) expect(each).toEqual([begin, end, end - begin])
      }
    },
  )

  it('swiglu needs a gate, and gives its gradient where it is wanted', () => {
    const [x, gate, gradY] = [[2], [1], [3]].map(values => Float64Array.from(values))
    const [y, gradX, gradGate] = [0, 0, 0].map(() => new Float64Array(1))
    const args: ActivationArgs = { kind: 'swiglu', count: 1 }
    expect(() => reference.activationForward({ x, y }, args, 0, 1)).toThrow('a gated activation needs a gate')
    expect(() => reference.activationBackward({ x, gradY, gradX }, args, 0, 1)).toThrow(
      'a gated activation needs a gate',
    )
    reference.activationBackward({ x, gate, gradY, gradX }, args, 0, 1)
    expect(gradX[0]).toBeCloseTo(3 / (1 + Math.exp(-1)), 12)
    const sigmoid = 1 / (1 + Math.exp(-1))
    reference.activationBackward({ x, gate, gradY, gradX, gradGate }, args, 0, 1)
    expect(gradGate[0]).toBeCloseTo((sigmoid + sigmoid * (1 - sigmoid)) * 2 * 3, 12)
  })

  it('have these gradients', () => {
    const picks = fc.array(fc.nat(), { minLength: 5, maxLength: 5 })
    fc.assert(
      fc.property(activationSpecs, picks, (spec, picked) => {
        const [count, magnitude] = [Math.min(spec.count, 111), Math.max(spec.magnitude, 1)]
        const small = { ...spec, count, magnitude, unread: undefined }
        const forward = activationCase({ ...small, backward: false })
        const backward = activationCase({ ...small, backward: true })
        const { gradX, gradGate } = truthOf(backward)
        // relu has no derivative at 0: keep the differences to one side of it
        const away = picked.filter(
          pick => spec.kind !== 'relu' || Math.abs(forward.inputs.x[pick % count]) > 4e-5,
        )
        expectGradient(forward, backward.inputs.gradY, 'x', gradX, away)
        if (gradGate) expectGradient(forward, backward.inputs.gradY, 'gate', gradGate, picked)
      }),
    )
  })
})

describe.each(RUNNERS)('$name activations', ({ run }) => {
  it('pass nothing back where the gradient is zero, even where x is NaN', () => {
    fc.assert(
      fc.property(activationSpecs, fc.nat(), (spec, unread) => {
        const c = activationCase({ ...spec, backward: true, unread })
        const { outputs } = run({ ...c, inputs: c.hidden ?? c.inputs }, {})
        for (const values of Object.values(outputs)) expect(values[unread % spec.count]).toBe(0)
      }),
      { numRuns: 100 },
    )
  })

  it('of NaN are NaN, and its neighbours are what they were', () => {
    fc.assert(
      fc.property(activationSpecs, fc.nat(), (spec, pick) => {
        const c: OpCase = activationCase({ ...spec, backward: false })
        const clean = run(c, {}).outputs.y
        const at = pick % spec.count
        c.inputs.x[at] = Number.NaN
        clean[at] = Number.NaN
        expect(run(c, {}).outputs.y).toEqual(clean)
      }),
      { numRuns: 50 },
    )
  })
})
