import * as fc from 'fast-check'
import {
  given,
  type OpCase,
  type Order,
  plainOutputs,
  plainSum,
  randomTensors,
  withNaN,
} from '../../../test/support/op-case.ts'
import { type LinearArgs, linearBackwardInput, linearBackwardWeight, linearForward } from './op.ts'

export interface LinearSpec {
  which: 'forward' | 'input' | 'weight'
  batch: number
  positions: number
  headsIn: number
  widthIn: number
  headsOut: number
  widthOut: number
  bias: boolean
  residual: boolean
  nonFinite: boolean
  /** rows of gradY that are padding: zero, and with `nonFinite` their x may be NaN */
  padding: number[]
  seed: number
}

const sizes = (...values: number[]) => fc.constantFrom(...values)

export const linearSpecs: fc.Arbitrary<LinearSpec> = fc.record({
  which: fc.constantFrom('forward', 'input', 'weight'),
  batch: sizes(1, 2),
  positions: sizes(1, 3, 7, 17, 50, 97, 111),
  headsIn: sizes(1, 1, 2, 3),
  widthIn: sizes(1, 3, 7, 16, 17, 59, 97),
  headsOut: sizes(1, 1, 2, 3),
  widthOut: sizes(1, 3, 7, 16, 17, 59, 111),
  bias: fc.boolean(),
  residual: fc.boolean(),
  nonFinite: fc.boolean(),
  padding: fc.array(fc.nat(), { maxLength: 4 }),
  seed: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
})

export function linearCase(spec: LinearSpec): OpCase {
  const { batch, positions, headsIn, headsOut, nonFinite } = spec
  const [dimIn, dimOut] = [headsIn * spec.widthIn, headsOut * spec.widthOut]
  const args: LinearArgs = { batch, positions, dimIn, dimOut, headsIn, headsOut, nonFinite }
  const rows = batch * positions
  const random = randomTensors(spec.seed)
  const [x, weight, gradY] = [random(rows * dimIn), random(dimIn * dimOut), random(rows * dimOut)]
  const c: OpCase = { ...operands(), args, again: seed => linearCase({ ...spec, seed }) }
  return { ...c, plain: order => plainLinear(c, order) }

  function operands(): Pick<OpCase, 'op' | 'inputs' | 'outputs' | 'hidden'> {
    switch (spec.which) {
      case 'forward': {
        const [bias, residual] = [spec.bias && random(dimOut), spec.residual && random(rows * dimOut)]
        return {
          op: linearForward,
          inputs: given({ x, weight, bias, residual }),
          outputs: { y: rows * dimOut },
        }
      }
      case 'input': {
        const residual = spec.residual && random(rows * dimIn)
        return {
          op: linearBackwardInput,
          inputs: given({ gradY, weight, residual }),
          outputs: { gradX: rows * dimIn },
        }
      }
      case 'weight': {
        const padding = spec.padding.map(pick => pick % rows)
        for (const row of padding) {
          for (const range of places(row, positions, headsOut, spec.widthOut)) gradY.fill(0, ...range)
        }
        const inputs = { x, gradY }
        const unread = padding.flatMap(row => places(row, positions, headsIn, spec.widthIn))
        const hidden = nonFinite ? withNaN(inputs, { x: unread }) : undefined
        return { op: linearBackwardWeight, inputs, outputs: { gradWeight: dimIn * dimOut }, hidden }
      }
    }
  }
}

/** Where a row stands in [batch, heads, positions, width]. */
function places(row: number, positions: number, heads: number, width: number): [number, number][] {
  const [b, position] = [Math.floor(row / positions), row % positions]
  return Array.from({ length: heads }, (_, head) => {
    const at = ((b * heads + head) * positions + position) * width
    return [at, at + width]
  })
}

const f = Math.fround

function plainLinear(c: OpCase, order: Order): Record<string, Float32Array> {
  const out = plainOutputs(c)
  const a = c.args as LinearArgs
  const { x, weight, gradY, bias, residual } = c.inputs
  const rows = a.batch * a.positions
  const place = (row: number, column: number, heads: number, dim: number) => {
    if (heads === 1) return row * dim + column
    const width = dim / heads
    const [b, position] = [Math.floor(row / a.positions), row % a.positions]
    const [head, j] = [Math.floor(column / width), column % width]
    return ((b * heads + head) * a.positions + position) * width + j
  }
  const input = (row: number, column: number) => place(row, column, a.headsIn, a.dimIn)
  const output = (row: number, column: number) => place(row, column, a.headsOut, a.dimOut)
  const each = (m: number, n: number, run: (row: number, column: number) => void) => {
    for (let row = 0; row < m; row++) for (let column = 0; column < n; column++) run(row, column)
  }
  if (c.op === linearForward) {
    each(rows, a.dimOut, (r, column) => {
      const at = output(r, column)
      const product = plainSum(order, a.dimIn, k => f(x[input(r, k)] * weight[k * a.dimOut + column]))
      out.y[at] = f(f(product + (bias?.[column] ?? 0)) + (residual?.[at] ?? 0))
    })
  } else if (c.op === linearBackwardInput) {
    each(rows, a.dimIn, (r, k) => {
      const at = input(r, k)
      const product = plainSum(order, a.dimOut, column =>
        f(gradY[output(r, column)] * weight[k * a.dimOut + column]),
      )
      out.gradX[at] = f(product + (residual?.[at] ?? 0))
    })
  } else {
    each(a.dimIn, a.dimOut, (k, column) => {
      out.gradWeight[k * a.dimOut + column] = plainSum(order, rows, r =>
        f(x[input(r, k)] * gradY[output(r, column)]),
      )
    })
  }
  return out
}

export const cases = linearSpecs.map(linearCase)

const none = new Float64Array(0)
const nothing: LinearArgs = { batch: 2, positions: 0, dimIn: 7, dimOut: 5, headsIn: 1, headsOut: 1 }
const weight = new Float64Array(35).fill(1)
export const empty: OpCase[] = [
  { op: linearForward, args: nothing, inputs: { x: none, weight }, outputs: { y: 0 } },
  { op: linearBackwardInput, args: nothing, inputs: { gradY: none, weight }, outputs: { gradX: 0 } },
  { op: linearBackwardWeight, args: nothing, inputs: { x: none, gradY: none }, outputs: { gradWeight: 35 } },
]
