import * as fc from 'fast-check'
import { given, type Inputs, type OpCase, randomTensors } from '../../../test/support/op-case.ts'
import { applySinks, sinkGradient } from './op.ts'

interface Sizes {
  batch: number
  heads: number
  queries: number
  keys: number
  dimV: number
}

const NO_STARTS = { cuQ: undefined, cuK: undefined, pairStarts: undefined }

/** Sequences with the rows and pairs of a batch: of its elements the first has one row fewer, and the last one more. */
export function unevenStarts({ batch, queries, keys }: Omit<Sizes, 'dimV'>) {
  const even = (extent: number) => Int32Array.from({ length: batch + 1 }, (_, s) => s * extent)
  const cuQ = even(queries)
  if (batch > 1 && queries > 1) cuQ[1]--
  const pairStarts = Float64Array.from(cuQ, start => start * keys)
  return { cuQ, cuK: even(keys), pairStarts }
}

function sinkCases(
  sizes: Sizes,
  entropy: boolean,
  maps: boolean,
  seed: number,
  packed = false,
): [OpCase, OpCase] {
  const { batch, heads, queries, keys, dimV } = sizes
  const positionsFirst = seed % 2 === 1
  const rows = batch * heads * queries
  const random = randomTensors(seed)
  const denominator = random(2 * rows).map((value, at) => (at % 2 === 0 ? value : 1 + Math.abs(value)))
  if (rows > 2) denominator.set([Number.NEGATIVE_INFINITY, 0], 2 * (seed % rows))
  const { cuQ, cuK, pairStarts } = packed ? unevenStarts(sizes) : NO_STARTS
  const shared = { sinks: random(heads), output: random(rows * dimV), denominator, ...given({ cuQ }) }
  const pairs = maps && rows * keys
  const apply = {
    ...shared,
    ...given({
      entropy: entropy && random(rows),
      weights: maps && random(rows * keys),
      droppedWeights: maps && random(rows * keys),
      cuK,
      pairStarts,
    }),
  }
  const outputs = {
    sunkOutput: rows * dimV,
    sunkDenominator: 2 * rows,
    sunkLogsumexp: rows,
    ...given({ sunkEntropy: entropy && rows, sunkWeights: pairs, sunkDroppedWeights: pairs }),
  }
  const gradient = {
    ...shared,
    gradOutput: random(rows * dimV),
    ...given({
      entropy: entropy && random(rows),
      scalars: entropy && Float64Array.of(0, 0.3),
      rowTerms: maps && random(rows),
    }),
  }
  return [
    {
      op: applySinks,
      args: { heads, rows, queries, keys, dimV, positionsFirst },
      inputs: apply as Inputs,
      outputs,
    },
    {
      op: sinkGradient,
      args: { batch, heads, queries, dimV, positionsFirst },
      inputs: gradient as Inputs,
      outputs: { gradSinks: heads },
    },
  ]
}

const size = (...values: number[]) => fc.constantFrom(...values)
const sizes = fc.record({
  batch: size(1, 2),
  heads: size(1, 3),
  queries: size(1, 5, 17),
  keys: size(1, 7),
  dimV: size(1, 4),
})

export const cases = fc
  .tuple(sizes, fc.boolean(), fc.boolean(), fc.nat(), fc.constantFrom(0, 1), fc.boolean())
  .map(([sizes, entropy, maps, seed, which, packed]) => sinkCases(sizes, entropy, maps, seed, packed)[which])

const plain = { batch: 2, heads: 2, queries: 3, keys: 4, dimV: 2 }
export const empty: OpCase[] = [{ batch: 0 }, { queries: 0 }, { keys: 0 }].flatMap(size =>
  sinkCases({ ...plain, ...size }, true, true, 1),
)
