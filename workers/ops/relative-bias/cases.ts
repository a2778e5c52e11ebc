import * as fc from 'fast-check'
import { type OpCase, randomTensors } from '../../../test/support/op-case.ts'
import { bucketSums, distanceBiases } from './op.ts'

interface Sizes {
  heads: number
  buckets: number
  maxDistance: number
  bidirectional: boolean
  batch: number
  queries: number
  keys: number
}

function biasCases(sizes: Sizes, seed: number): [OpCase, OpCase] {
  const { batch, queries, keys, ...rest } = sizes
  const random = randomTensors(seed)
  const shift = (seed % 7) - 3
  const distances = queries + keys - 1
  const args = { ...rest, firstDistance: 1 - queries - shift, distances: Math.max(0, distances) }
  const { heads, buckets } = rest
  return [
    {
      op: distanceBiases,
      args,
      inputs: { table: random(buckets * heads) },
      outputs: { biases: heads * args.distances },
    },
    {
      op: bucketSums,
      args: { ...args, parts: batch },
      inputs: { gradDistances: Float64Array.from(random(batch * heads * args.distances)) },
      outputs: { gradTable: buckets * heads },
    },
  ]
}

const size = (...values: number[]) => fc.constantFrom(...values)
const sizes = fc.record({
  heads: size(1, 3),
  buckets: size(4, 8, 32),
  maxDistance: size(20, 128),
  bidirectional: fc.boolean(),
  batch: size(1, 2),
  queries: size(1, 5, 40),
  keys: size(1, 7, 50),
})

export const cases = fc
  .tuple(sizes, fc.nat(), fc.constantFrom(0, 1))
  .map(([sizes, seed, which]) => biasCases(sizes, seed)[which])

const plain = { heads: 2, buckets: 8, maxDistance: 20, bidirectional: true, batch: 2, queries: 3, keys: 4 }
export const empty: OpCase[] = [{ batch: 0 }, { queries: 0 }, { keys: 0 }].flatMap(size =>
  biasCases({ ...plain, ...size }, 1),
)
