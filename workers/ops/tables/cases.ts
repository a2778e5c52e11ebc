import * as fc from 'fast-check'
import { type OpCase, randomTensors } from '../../../test/support/op-case.ts'
import { alibiBias, ropeTable, sinusoidalTable } from './op.ts'

const size = (...values: number[]) => fc.constantFrom(...values)
const positions = size(1, 3, 17)
const angles = { base: size(100, 10000), offset: size(0, 3, 1e6) }

const sinusoids = fc.record({ positions, dim: size(1, 7, 8), ...angles }).map((args): OpCase => {
  return { op: sinusoidalTable, args, inputs: {}, outputs: { encoding: args.positions * args.dim } }
})

const rotations = fc.record({ positions, dims: size(2, 6, 16), ...angles }).map((args): OpCase => {
  const count = (args.positions * args.dims) / 2
  return { op: ropeTable, args, inputs: {}, outputs: { cos: count, sin: count } }
})

const biases = fc.record({ heads: size(1, 3), queries: positions, keys: positions }).map((args): OpCase => {
  const { heads, queries, keys } = args
  const slopes = randomTensors(heads)(heads)
  return { op: alibiBias, args, inputs: { slopes }, outputs: { bias: heads * queries * keys } }
})

export const cases = fc.oneof(sinusoids, rotations, biases)

export const empty: OpCase[] = [
  {
    op: sinusoidalTable,
    args: { positions: 0, dim: 3, base: 100, offset: 0 },
    inputs: {},
    outputs: { encoding: 0 },
  },
  {
    op: ropeTable,
    args: { positions: 3, dims: 0, base: 100, offset: 0 },
    inputs: {},
    outputs: { cos: 0, sin: 0 },
  },
  {
    op: alibiBias,
    args: { heads: 2, queries: 3, keys: 0 },
    inputs: { slopes: Float64Array.of(1, 2) },
    outputs: { bias: 0 },
  },
]
