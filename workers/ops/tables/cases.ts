import * as fc from 'fast-check'
import { uniformNumbers } from '../../../test/support/numbers.ts'
import { given, type Input, type OpCase, randomTensors } from '../../../test/support/op-case.ts'
import {
  alibiBias,
  type FrequencyRule,
  highestPosition,
  ropeFrequencies,
  ropeTable,
  sinusoidalTable,
} from './op.ts'

const size = (...values: number[]) => fc.constantFrom(...values)
const positions = size(1, 3, 17)
const angles = { base: size(100, 10000), offset: size(0, 3, 1e6) }

const sinusoids = fc.record({ positions, dim: size(1, 7, 8), ...angles }).map((args): OpCase => {
  return { op: sinusoidalTable, args, inputs: {}, outputs: { encoding: args.positions * args.dim } }
})

const dims = size(2, 6, 16)
const anywhere = (count: number, seed: number) => {
  const uniform = uniformNumbers(seed)
  return Int32Array.from({ length: count }, () => Math.floor((uniform() - 0.3) * 1e6))
}

const rotations = fc
  .record({ positions, dims, ...angles, factor: size(1, 0.7), placed: fc.boolean(), own: fc.boolean() })
  .map(({ placed, own, ...args }): OpCase => {
    const count = (args.positions * args.dims) / 2
    const inputs = given<Input>({
      places: placed && anywhere(args.positions, args.dims),
      frequencies: own && randomTensors(args.dims)(args.dims / 2),
    })
    return { op: ropeTable, args, inputs, outputs: { cos: count, sin: count } }
  })

const base = 10000
const rules = fc.constantFrom<FrequencyRule>(
  { kind: 'default', base },
  { kind: 'linear', base, factor: 3 },
  { kind: 'proportional', base, factor: 1, rotated: 2 },
  { kind: 'dynamic', base, factor: 2, most: 16 },
  { kind: 'llama3', base, factor: 8, low: 1, high: 4, original: 32 },
  { kind: 'yarn', base, factor: 4, fast: 32, slow: 1, original: 256, truncate: true },
  { kind: 'longrope', base, original: 16 },
)

const frequencies = fc
  .record({ dims: size(6, 16), length: size(7, 99), rule: rules, measured: fc.boolean() })
  .map(({ measured, ...args }): OpCase => {
    const long = randomTensors(args.dims)(args.dims / 2).map(x => 1 + Math.abs(x))
    const isLong = args.rule.kind === 'longrope'
    const inputs = given<Input>({
      length: measured && Float64Array.of(12),
      long: isLong && long,
      short: isLong && long.map(x => x / 2),
    })
    return { op: ropeFrequencies, args, inputs, outputs: { frequencies: args.dims / 2 } }
  })

const highest = fc
  .record({ q: size(0, 1, 17), k: size(0, 5), least: size(0, 3, 2 ** 40) })
  .map(({ q, k, least }): OpCase => {
    const inputs = { ...(q > 0 && { q: anywhere(q, 3) }), ...(k > 0 && { k: anywhere(k, 4) }) }
    return { op: highestPosition, args: { positions: q + k, least }, inputs, outputs: { length: 1 } }
  })

const biases = fc.record({ heads: size(1, 3), queries: positions, keys: positions }).map((args): OpCase => {
  const { heads, queries, keys } = args
  const slopes = randomTensors(heads)(heads)
  return { op: alibiBias, args, inputs: { slopes }, outputs: { bias: heads * queries * keys } }
})

export const cases = fc.oneof(sinusoids, rotations, frequencies, highest, biases)

export const empty: OpCase[] = [
  {
    op: sinusoidalTable,
    args: { positions: 0, dim: 3, base: 100, offset: 0 },
    inputs: {},
    outputs: { encoding: 0 },
  },
  {
    op: ropeTable,
    args: { positions: 3, dims: 0, base: 100, offset: 0, factor: 1 },
    inputs: {},
    outputs: { cos: 0, sin: 0 },
  },
  {
    op: ropeFrequencies,
    args: { dims: 0, length: 0, rule: { kind: 'default', base } },
    inputs: {},
    outputs: { frequencies: 0 },
  },
  {
    op: highestPosition,
    args: { positions: 0, least: 0 },
    inputs: { q: new Int32Array(0) },
    outputs: { length: 1 },
  },
  {
    op: alibiBias,
    args: { heads: 2, queries: 3, keys: 0 },
    inputs: { slopes: Float64Array.of(1, 2) },
    outputs: { bias: 0 },
  },
]
