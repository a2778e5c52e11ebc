/** Products with weights against matrices multiplied as plainly as can be, and their gradients against differences. */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { expectWithinBudget } from '../../../test/support/float32-budget.ts'
import { expectClose, expectGradient } from '../../../test/support/gradient-check.ts'
import type { OpCase } from '../../../test/support/op-case.ts'
import { truthOf } from '../../../test/support/op-runner.ts'
import { linearCase, linearSpecs } from './cases.ts'
import { type LinearArgs, linearBackwardInput, linearForward } from './op.ts'
import { linearBackwardWeight } from './reference.ts'

type Rows = number[][]

/** [batch, heads, positions, width] → rows of heads·width columns. */
function joined(x: ArrayLike<number>, { batch, positions }: LinearArgs, heads: number, dim: number): Rows {
  const width = dim / heads
  return Array.from({ length: batch * positions }, (_, row) =>
    Array.from({ length: dim }, (_, column) => {
      const [b, position] = [Math.floor(row / positions), row % positions]
      const [head, j] = [Math.floor(column / width), column % width]
      return x[((b * heads + head) * positions + position) * width + j]
    }),
  )
}

function matrix(x: ArrayLike<number>, columns: number): Rows {
  return Array.from({ length: x.length / columns }, (_, row) =>
    Array.from({ length: columns }, (_, column) => x[row * columns + column]),
  )
}

const transposed = (x: Rows): Rows => x[0].map((_, column) => x.map(row => row[column]))
const product = (x: Rows, y: Rows): Rows =>
  x.map(row => y[0].map((_, column) => row.reduce((sum, value, k) => sum + value * y[k][column], 0)))
const plus = (x: Rows, y: Rows): Rows => x.map((row, r) => row.map((value, column) => value + y[r][column]))

function right(c: OpCase): Rows {
  const a = c.args as LinearArgs
  const { x, weight, gradY, bias, residual } = c.inputs
  if (c.op === linearForward) {
    let y = product(joined(x, a, a.headsIn, a.dimIn), matrix(weight, a.dimOut))
    if (bias) y = y.map(row => row.map((value, column) => value + bias[column]))
    return residual ? plus(y, joined(residual, a, a.headsOut, a.dimOut)) : y
  }
  if (c.op === linearBackwardInput) {
    const gradX = product(joined(gradY, a, a.headsOut, a.dimOut), transposed(matrix(weight, a.dimOut)))
    return residual ? plus(gradX, joined(residual, a, a.headsIn, a.dimIn)) : gradX
  }
  const rows = joined(x, a, a.headsIn, a.dimIn)
  return product(transposed(rows), joined(gradY, a, a.headsOut, a.dimOut))
}

describe('products with weights', () => {
  it('over random sizes, head layouts, bias and residual', () => {
    fc.assert(
      fc.property(linearSpecs, spec => {
        const c = linearCase(spec)
        const a = c.args as LinearArgs
        const { y, gradX, gradWeight } = truthOf(c)
        const computed = y
          ? joined(y, a, a.headsOut, a.dimOut)
          : gradX
            ? joined(gradX, a, a.headsIn, a.dimIn)
            : matrix(gradWeight, a.dimOut)
        expectClose(computed.flat(), right(c).flat())
      }),
      { numRuns: 40 },
    )
  })

  it('have these gradients', () => {
    const picks = fc.array(fc.nat(), { minLength: 5, maxLength: 5 })
    fc.assert(
      fc.property(linearSpecs, picks, (spec, picked) => {
        const positions = Math.min(spec.positions, 17)
        const small = { ...spec, positions, residual: false, padding: [] }
        const forward = linearCase({ ...small, which: 'forward' })
        const input = linearCase({ ...small, which: 'input' })
        const { gradY } = input.inputs
        const { gradWeight } = truthOf(linearCase({ ...small, which: 'weight' }))
        expectGradient(forward, gradY, 'x', truthOf(input).gradX, picked)
        expectGradient(forward, gradY, 'weight', gradWeight, picked)
      }),
      { numRuns: 30 },
    )
  })

  it('leave rows out of the weight’s gradient whose own gradient is zero, not those that hold a zero', () => {
    const args = { batch: 1, positions: 3, dimIn: 2, dimOut: 2, headsIn: 1, headsOut: 1, nonFinite: true }
    const x = Float64Array.of(1, 2, Number.NaN, 3, 4, 5)
    const gradY = Float64Array.of(0, 7, 0, 0, 10, 0)
    const gradWeight = new Float64Array(4).fill(Number.NaN)
    linearBackwardWeight({ x, gradY, gradWeight }, args, 0, 1)
    expect(Array.from(gradWeight)).toEqual([4 * 10, 1 * 7, 5 * 10, 2 * 7])
  })

  it('add what else reaches x to its gradient', () => {
    const [spec] = fc.sample(linearSpecs, { seed: 3, numRuns: 1 })
    const c = linearCase({ ...spec, which: 'input', residual: true })
    const { residual, ...rest } = c.inputs
    const together = truthOf(c).gradX
    truthOf({ ...c, inputs: rest }).gradX.forEach((value, i) => {
      expect(together[i]).toBeCloseTo(value + residual[i], 12)
    })
  })

  it.each([
    ['one chunk of depth and a bit', { positions: 50, widthIn: 257, widthOut: 33 }],
    ['several chunks, several blocks', { positions: 101, widthIn: 600, widthOut: 530 }],
    ['eight heads of 64', { batch: 2, positions: 51, headsIn: 8, widthIn: 64, headsOut: 8, widthOut: 64 }],
  ])('are as exact in float32 over %s', (_, sizes) => {
    for (const which of ['forward', 'input', 'weight'] as const) {
      const plain = { batch: 1, headsIn: 1, headsOut: 1, bias: true, residual: true, nonFinite: false }
      expectWithinBudget(linearCase({ which, ...plain, padding: [], seed: 5, ...sizes }))
    }
  })
})
