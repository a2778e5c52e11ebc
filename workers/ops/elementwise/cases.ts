import * as fc from 'fast-check'
import { uniformNumbers } from '../../../test/support/numbers.ts'
import {
  given,
  type OpCase,
  type Order,
  plainOutputs,
  plainSum,
  randomTensors,
  withNaN,
} from '../../../test/support/op-case.ts'
import {
  type AddArgs,
  add,
  type ColumnSumsArgs,
  columnSums,
  concatBackward,
  concatForward,
  dropoutRows,
  maskRows,
} from './op.ts'

export interface ElementwiseSpec {
  op: 'add' | 'columnSums' | 'dropoutRows' | 'maskRows' | 'concatForward' | 'concatBackward'
  /** batch, heads, positions, width; or rows and columns of them */
  batch: number
  heads: number
  positions: number
  width: number
  /** of dropout */
  p: number
  /** add: b is repeated over the rows */
  repeated: boolean
  /** concat: positions of the past, and which gradients are wanted */
  past: number
  wanted: 'both' | 'past' | 'x'
  seed: number
}

const sizes = (...values: number[]) => fc.constantFrom(...values)

const common = {
  batch: sizes(1, 2),
  heads: sizes(1, 2, 3),
  positions: sizes(1, 3, 17, 59, 257),
  width: sizes(1, 3, 7, 16, 17, 59, 111),
  p: sizes(0, 0.1, 0.5),
  repeated: fc.boolean(),
  past: sizes(0, 1, 5),
  wanted: fc.constantFrom('both' as const, 'past' as const, 'x' as const),
  seed: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
}

export const elementwiseSpecs: fc.Arbitrary<ElementwiseSpec> = fc.record({
  op: fc.constantFrom('add', 'columnSums', 'dropoutRows', 'maskRows', 'concatForward', 'concatBackward'),
  ...common,
})

export function elementwiseCase(spec: ElementwiseSpec): OpCase {
  const { batch, heads, positions, width, past } = spec
  const count = batch * heads * positions * width
  const random = randomTensors(spec.seed)
  const again = (seed: number) => elementwiseCase({ ...spec, seed })
  switch (spec.op) {
    case 'columnSums': {
      const args = { batch, heads, positions, width }
      const c: OpCase = {
        op: columnSums,
        args,
        inputs: { x: random(count) },
        outputs: { y: heads * width },
        again,
      }
      return { ...c, plain: order => plainColumnSums(c, order) }
    }
    case 'add': {
      const period = spec.repeated ? positions * width : count
      const inputs = { a: random(count), b: random(period) }
      const c: OpCase = { op: add, args: { count, period }, inputs, outputs: { y: count }, again }
      return { ...c, plain: () => plainAdd(c) }
    }
    case 'dropoutRows': {
      const rows = batch * heads * positions
      const args = { rows, dim: width, p: spec.p, seedLow: spec.seed, seedHigh: 7 }
      return { op: dropoutRows, args, inputs: { x: random(count) }, outputs: { y: count } }
    }
    case 'maskRows': {
      const uniform = uniformNumbers(spec.seed)
      const lengths = Int32Array.from({ length: batch * heads }, () =>
        Math.floor(uniform() * (positions + 1)),
      )
      const inputs = { x: random(count), lengths }
      const padding = Array.from(lengths, (length, b): [number, number] => {
        return [(b * positions + length) * width, (b + 1) * positions * width]
      })
      return {
        op: maskRows,
        args: { batch: batch * heads, positions, dim: width },
        inputs,
        outputs: { y: count },
        hidden: withNaN(inputs, { x: padding }),
      }
    }
    case 'concatForward':
      return {
        op: concatForward,
        args: { heads: batch * heads, past, positions, dim: width },
        inputs: { past: random(batch * heads * past * width), x: random(count) },
        outputs: { y: batch * heads * (past + positions) * width },
      }
    case 'concatBackward':
      return {
        op: concatBackward,
        args: { heads: batch * heads, past, positions, dim: width },
        inputs: { gradY: random(batch * heads * (past + positions) * width) },
        outputs: given({
          gradPast: spec.wanted !== 'x' && batch * heads * past * width,
          gradX: spec.wanted !== 'past' && count,
        }),
      }
  }
}

function plainColumnSums(c: OpCase, order: Order): Record<string, Float32Array> {
  const out = plainOutputs(c)
  const { batch, heads, positions, width } = c.args as ColumnSumsArgs
  for (let column = 0; column < heads * width; column++) {
    const [head, j] = [Math.floor(column / width), column % width]
    out.y[column] = plainSum(order, batch * positions, row => {
      const [b, position] = [Math.floor(row / positions), row % positions]
      return c.inputs.x[((b * heads + head) * positions + position) * width + j]
    })
  }
  return out
}

function plainAdd(c: OpCase): Record<string, Float32Array> {
  const out = plainOutputs(c)
  const { count, period } = c.args as AddArgs
  for (let i = 0; i < count; i++) out.y[i] = Math.fround(c.inputs.a[i] + c.inputs.b[i % period])
  return out
}

export const cases = elementwiseSpecs.map(elementwiseCase)

const none = new Float64Array(0)
const seed = { seedLow: 1, seedHigh: 2 }
const concat = { heads: 0, past: 2, positions: 3, dim: 4 }
export const empty: OpCase[] = [
  { op: add, args: { count: 0, period: 0 }, inputs: { a: none, b: none }, outputs: { y: 0 } },
  {
    op: columnSums,
    args: { batch: 0, heads: 2, positions: 3, width: 5 },
    inputs: { x: none },
    outputs: { y: 10 },
  },
  { op: dropoutRows, args: { rows: 0, dim: 3, p: 0.5, ...seed }, inputs: { x: none }, outputs: { y: 0 } },
  {
    op: maskRows,
    args: { batch: 2, positions: 0, dim: 3 },
    inputs: { x: none, lengths: new Int32Array(2) },
    outputs: { y: 0 },
  },
  { op: concatForward, args: concat, inputs: { past: none, x: none }, outputs: { y: 0 } },
  { op: concatBackward, args: concat, inputs: { gradY: none }, outputs: { gradPast: 0, gradX: 0 } },
]
