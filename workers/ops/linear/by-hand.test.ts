/** Products of whole numbers, unit by unit: every sum is exact. */
import { describe, it } from 'vitest'
import { expectSame } from '../../../test/support/differences.ts'
import { inUnits } from '../../../test/support/in-units.ts'
import { type LinearArgs, linearBackwardInput, linearBackwardWeight, linearForward } from './op.ts'
import * as reference from './reference.ts'

/** Whole numbers between −5 and 5. */
const whole = (length: number, salt: number) =>
  Float64Array.from({ length }, (_, i) => ((i * 7 + salt * 3 + Math.floor(i / 13)) % 11) - 5)

/** Where column c of row r stands in [batch, heads, positions, dim/heads]. */
function place(r: number, c: number, positions: number, heads: number, dim: number): number {
  const width = dim / heads
  const [b, position] = [Math.floor(r / positions), r % positions]
  return ((b * heads + Math.floor(c / width)) * positions + position) * width + (c % width)
}

/** The array of rows × columns elements of a split tensor, each as `element` says. */
function split(a: LinearArgs, heads: number, dim: number, element: (r: number, c: number) => number) {
  const y = new Float64Array(a.batch * a.positions * dim)
  for (let r = 0; r < a.batch * a.positions; r++) {
    for (let c = 0; c < dim; c++) y[place(r, c, a.positions, heads, dim)] = element(r, c)
  }
  return y
}

function sum(count: number, term: (index: number) => number): number {
  let total = 0
  for (let index = 0; index < count; index++) total += term(index)
  return total
}

/** More rows and columns than a unit has, of both results. */
const WIDE: LinearArgs[] = [
  { batch: 2, positions: 29, dimIn: 6, dimOut: 130, headsIn: 3, headsOut: 2 },
  { batch: 2, positions: 101, dimIn: 6, dimOut: 514, headsIn: 3, headsOut: 2 },
  { batch: 1, positions: 3, dimIn: 7, dimOut: 5, headsIn: 1, headsOut: 5 },
]

describe.each(WIDE)('forward, from $dimIn to $dimOut', a => {
  const [rows, positions] = [a.batch * a.positions, a.positions]
  const [x, weight] = [whole(rows * a.dimIn, 1), whole(a.dimIn * a.dimOut, 2)]
  const [bias, residual] = [whole(a.dimOut, 3), whole(rows * a.dimOut, 4)]
  const product = split(a, a.headsOut, a.dimOut, (r, c) =>
    sum(a.dimIn, k => x[place(r, k, positions, a.headsIn, a.dimIn)] * weight[k * a.dimOut + c]),
  )
  const biases = split(a, a.headsOut, a.dimOut, (_, c) => bias[c])
  const run = (more: object) =>
    inUnits(product.length, linearForward.units(a), (y, unit) =>
      reference.linearForward({ x, weight, y, ...more }, a, unit, unit + 1),
    )

  it('is the product', () => {
    expectSame(run({}), product)
  })

  it('and the bias, the residual, or both', () => {
    expectSame(
      run({ bias }),
      product.map((value, i) => value + biases[i]),
    )
    expectSame(
      run({ residual }),
      product.map((value, i) => value + residual[i]),
    )
    expectSame(
      run({ bias, residual }),
      product.map((value, i) => value + biases[i] + residual[i]),
    )
  })
})

describe.each([
  { ...WIDE[0], dimIn: 130, headsIn: 2, dimOut: 6, headsOut: 3 },
  { ...WIDE[1], dimIn: 514, headsIn: 2, dimOut: 6, headsOut: 3 },
  { ...WIDE[2], headsIn: 7, headsOut: 1 },
])('the gradient of x, from $dimOut to $dimIn', a => {
  const [rows, positions] = [a.batch * a.positions, a.positions]
  const [gradY, weight, residual] = [
    whole(rows * a.dimOut, 1),
    whole(a.dimIn * a.dimOut, 2),
    whole(rows * a.dimIn, 4),
  ]
  const product = split(a, a.headsIn, a.dimIn, (r, k) =>
    sum(a.dimOut, c => gradY[place(r, c, positions, a.headsOut, a.dimOut)] * weight[k * a.dimOut + c]),
  )
  const run = (more: object) =>
    inUnits(product.length, linearBackwardInput.units(a), (gradX, unit) =>
      reference.linearBackwardInput({ gradY, weight, gradX, ...more }, a, unit, unit + 1),
    )

  it('is the product with the weight’s columns', () => {
    expectSame(run({}), product)
  })

  it('and what else reaches x', () => {
    expectSame(
      run({ residual }),
      product.map((value, i) => value + residual[i]),
    )
  })
})

describe.each([
  { ...WIDE[0], positions: 2, dimIn: 50, headsIn: 5 },
  { ...WIDE[1], positions: 2, dimIn: 195, headsIn: 5 },
  { ...WIDE[2], headsIn: 7, headsOut: 1 },
])('the gradient of the weight, $dimIn × $dimOut', a => {
  const [rows, positions] = [a.batch * a.positions, a.positions]
  const [x, gradY] = [whole(rows * a.dimIn, 1), whole(rows * a.dimOut, 2)]
  const run = () =>
    inUnits(a.dimIn * a.dimOut, linearBackwardWeight.units(a), (gradWeight, unit) =>
      reference.linearBackwardWeight({ x, gradY, gradWeight }, a, unit, unit + 1),
    )
  const right = (from: number) =>
    Float64Array.from({ length: a.dimIn * a.dimOut }, (_, i) => {
      const [k, c] = [Math.floor(i / a.dimOut), i % a.dimOut]
      return sum(rows - from, r => {
        const value = x[place(from + r, k, positions, a.headsIn, a.dimIn)]
        return value * gradY[place(from + r, c, positions, a.headsOut, a.dimOut)]
      })
    })

  it('is the product over all rows, and the same of all units in one call', () => {
    const gradWeight = new Float64Array(a.dimIn * a.dimOut)
    reference.linearBackwardWeight({ x, gradY, gradWeight }, a, 0, linearBackwardWeight.units(a))
    expectSame(gradWeight, right(0))
    expectSame(run(), right(0))
  })

  it('without a row that is padding, though NaN stands in its x', () => {
    for (let k = 0; k < a.dimIn; k++) x[place(0, k, positions, a.headsIn, a.dimIn)] = Number.NaN
    for (let c = 0; c < a.dimOut; c++) gradY[place(0, c, positions, a.headsOut, a.dimOut)] = 0
    expectSame(run(), right(1))
  })
})
