/** Every gradient of the reference kernels of layers against central differences of its own forward pass, in float64. */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { referenceKernels } from '../../../../workers/kernels/reference/index.ts'
import {
  activationSpecs,
  buildLayerCase,
  type LayerCase,
  linearSpecs,
  normSpecs,
  runLayer,
} from '../layer-case.ts'

const STEP = 1e-5
const TOLERANCE = 1e-6
const picks = fc.array(fc.nat(), { minLength: 5, maxLength: 5 })

/** `gradient` of L = Σ gradY·f(inputs) by the input `name`. */
function expectGradient(
  forward: LayerCase,
  gradY: Float64Array,
  name: string,
  gradient: ArrayLike<number>,
  picked: number[],
): void {
  const loss = () => {
    let sum = 0
    runLayer(referenceKernels, forward).y.forEach((value, i) => {
      sum += value * gradY[i]
    })
    return sum
  }
  const x = forward.inputs[name]
  const largest = Array.from(gradient).reduce((most, g) => Math.max(most, Math.abs(g)), 1e-3)
  for (const pick of picked) {
    const at = pick % x.length
    const value = x[at]
    const lossAt = (moved: number) => {
      x[at] = moved
      return loss()
    }
    // of fourth order: near 0 a norm of one element bends within √eps
    const near = lossAt(value + STEP) - lossAt(value - STEP)
    const far = lossAt(value + 2 * STEP) - lossAt(value - 2 * STEP)
    x[at] = value
    const difference = (8 * near - far) / (12 * STEP)
    const error = Math.abs(difference - gradient[at]) / largest
    expect(error, `${name}[${at}]: ${gradient[at]} by formula, ${difference} by differences`).toBeLessThan(
      TOLERANCE,
    )
  }
}

describe('layer backward', () => {
  it('products with weights', () => {
    fc.assert(
      fc.property(linearSpecs, picks, (spec, picked) => {
        const small = { ...spec, positions: Math.min(spec.positions, 17), residual: false }
        const forward = buildLayerCase({ ...small, op: 'linearForward' })
        const input = buildLayerCase({ ...small, op: 'linearBackwardInput' })
        const weight = buildLayerCase({ ...small, op: 'linearBackwardWeight' })
        const { gradY } = input.inputs
        const { gradX } = runLayer(referenceKernels, input)
        const { gradWeight } = runLayer(referenceKernels, weight)
        expectGradient(forward, gradY, 'x', gradX, picked)
        expectGradient(forward, gradY, 'weight', gradWeight, picked)
      }),
      { numRuns: 30 },
    )
  })

  it('norms, with their gain and offset', () => {
    fc.assert(
      fc.property(normSpecs, picks, (spec, picked) => {
        const all = { ...spec, gamma: true, beta: true, residual: false }
        const forward = buildLayerCase({ ...all, op: 'normForward' })
        const backward = buildLayerCase({ ...all, op: 'normBackward' })
        backward.inputs.gamma = forward.inputs.gamma
        const { gradX, partialGamma, partialBeta } = runLayer(referenceKernels, backward)
        const total = (x: ArrayLike<number>) => {
          const sums = new Float64Array(spec.dim)
          for (let i = 0; i < x.length; i++) sums[i % spec.dim] += x[i]
          return sums
        }
        const { gradY } = backward.inputs
        expectGradient(forward, gradY, 'x', gradX, picked)
        expectGradient(forward, gradY, 'gamma', total(partialGamma), picked)
        expectGradient(forward, gradY, 'beta', total(partialBeta), picked)
      }),
    )
  })

  it('activations', () => {
    fc.assert(
      fc.property(activationSpecs, picks, (spec, picked) => {
        const small = { ...spec, count: Math.min(spec.count, 111), magnitude: Math.max(spec.magnitude, 1) }
        const forward = buildLayerCase({ ...small, op: 'activationForward' })
        const backward = buildLayerCase({ ...small, op: 'activationBackward' })
        const { gradX, gradGate } = runLayer(referenceKernels, backward)
        // relu has no derivative at 0: keep the differences to one side of it
        const away = picked.filter(
          pick => spec.kind !== 'relu' || Math.abs(forward.inputs.x[pick % small.count]) > 4 * STEP,
        )
        expectGradient(forward, backward.inputs.gradY, 'x', gradX, away)
        if (gradGate) expectGradient(forward, backward.inputs.gradY, 'gate', gradGate, picked)
      }),
    )
  })
})

it('what else reaches x is added to its gradient', () => {
  const [linear] = fc.sample(linearSpecs, { seed: 3, numRuns: 1 })
  const [norm] = fc.sample(normSpecs, { seed: 3, numRuns: 1 })
  const specs = [
    { ...linear, op: 'linearBackwardInput', residual: true },
    { ...norm, op: 'normBackward', residual: true },
  ] as const
  for (const spec of specs) {
    const c = buildLayerCase(spec)
    const { residual, ...rest } = c.inputs
    const together = runLayer(referenceKernels, c).gradX
    const without = runLayer(referenceKernels, { ...c, inputs: rest }).gradX
    without.forEach((value, i) => {
      expect(together[i]).toBeCloseTo(value + residual[i], 12)
    })
  }
})
