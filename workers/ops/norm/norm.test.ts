/** Norms against their formula, and their gradients against differences. */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { expectClose, expectGradient } from '../../../test/support/gradient-check.ts'
import { RUNNERS, truthOf } from '../../../test/support/op-runner.ts'
import { normCase, normSpecs } from './cases.ts'
import { NORM_ROWS } from './op.ts'

describe('norms', () => {
  it('over random sizes, with and without gain and offset', () => {
    fc.assert(
      fc.property(normSpecs, spec => {
        const { dim, kind, eps, rows } = spec
        const c = normCase({ ...spec, backward: false })
        const { x, gamma, beta } = c.inputs
        const right = Array.from({ length: rows }, (_, r) => {
          const row = Array.from(x.subarray(r * dim, (r + 1) * dim))
          const mean = kind === 'layer' ? row.reduce((sum, value) => sum + value) / dim : 0
          const square = row.reduce((sum, value) => sum + (value - mean) ** 2, 0) / dim
          return row.map((value, d) => {
            const unit = (value - mean) / Math.sqrt(square + eps)
            return unit * (gamma?.[d] ?? 1) + (beta?.[d] ?? 0)
          })
        })
        expectClose(truthOf(c).y, right.flat())
      }),
    )
  })

  it('have these gradients, with their gain and offset', () => {
    const picks = fc.array(fc.nat(), { minLength: 5, maxLength: 5 })
    fc.assert(
      fc.property(normSpecs, picks, (spec, picked) => {
        const all = { ...spec, gamma: true, beta: true, residual: false, unread: undefined }
        const forward = normCase({ ...all, backward: false })
        const backward = normCase({ ...all, backward: true })
        backward.inputs.gamma = forward.inputs.gamma
        const { gradX, partialGamma, partialBeta } = truthOf(backward)
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

  it('add what else reaches x to its gradient', () => {
    const [spec] = fc.sample(normSpecs, { seed: 3, numRuns: 1 })
    const c = normCase({ ...spec, backward: true, residual: true })
    const { residual, ...rest } = c.inputs
    const together = truthOf(c).gradX
    truthOf({ ...c, inputs: rest }).gradX.forEach((value, i) => {
      expect(together[i]).toBeCloseTo(value + residual[i], 12)
    })
  })
})

describe.each(RUNNERS)('$name norms', ({ run }) => {
  it('pass only the residual back to a row whose gradient is zero, even where it holds NaN', () => {
    fc.assert(
      fc.property(normSpecs, fc.nat(), (spec, unread) => {
        const c = normCase({ ...spec, backward: true, unread })
        const row = unread % spec.rows
        const [begin, end] = [row * spec.dim, (row + 1) * spec.dim]
        const { outputs } = run({ ...c, inputs: c.hidden ?? c.inputs }, {})
        const { residual } = c.inputs
        expect(Array.from(outputs.gradX.subarray(begin, end))).toEqual(
          residual ? Array.from(residual.subarray(begin, end)) : Array(spec.dim).fill(0),
        )
        if (spec.rows === 1 && outputs.partialGamma) {
          const unit = Math.floor(row / NORM_ROWS)
          expect(Array.from(outputs.partialGamma.subarray(unit * spec.dim))).toEqual(Array(spec.dim).fill(0))
        }
      }),
      { numRuns: 100 },
    )
  })
})
