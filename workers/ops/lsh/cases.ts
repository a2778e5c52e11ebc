import * as fc from 'fast-check'
import { type OpCase, randomTensors } from '../../../test/support/op-case.ts'
import { lshRotations as rotate } from './kernel.ts'
import { columnCount, type HashArgs, lshBuckets, lshRotations } from './op.ts'

export interface LshSpec {
  rows: number
  dim: number
  rounds: number
  factors: number[]
  seed: number
  /** whether x holds a NaN */
  bad: boolean
}

export const lshSpecs: fc.Arbitrary<LshSpec> = fc.record({
  rows: fc.constantFrom(1, 7, 20),
  dim: fc.constantFrom(1, 3, 8, 33),
  rounds: fc.constantFrom(1, 3),
  factors: fc.constantFrom<number[]>([2], [6], [64], [6, 12], [16, 32], [2, 130]),
  seed: fc.nat(),
  bad: fc.boolean(),
})

export function bucketsCase({ seed, bad, ...sizes }: LshSpec): OpCase {
  const { rows, dim, rounds } = sizes
  const args: HashArgs = { ...sizes, seedLow: seed, seedHigh: 3 }
  const rotations = new Float64Array(rounds * dim * columnCount(args))
  rotate({ rotations }, args, 0, lshRotations.units(args))
  const x = randomTensors(seed)(rows * dim)
  if (bad && x.length > 0) x[seed % x.length] = Number.NaN
  return { op: lshBuckets, args, inputs: { x, rotations }, outputs: { buckets: rounds * rows } }
}

function rotationsCase({ seed, dim, rounds, factors }: LshSpec): OpCase {
  const args = { rounds, dim, factors, seedLow: seed, seedHigh: 3 }
  return { op: lshRotations, args, inputs: {}, outputs: { rotations: rounds * dim * columnCount(args) } }
}

export const cases = fc.oneof(lshSpecs.map(bucketsCase), lshSpecs.map(rotationsCase))

const few = { dim: 3, rounds: 2, factors: [4], seed: 1, bad: false }
export const empty: OpCase[] = [bucketsCase({ ...few, rows: 0 }), rotationsCase({ ...few, rows: 0, dim: 0 })]
