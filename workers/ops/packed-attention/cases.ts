import * as fc from 'fast-check'
import { given, type Inputs, type OpCase, randomTensors } from '../../../test/support/op-case.ts'
import { partsOf } from '../attention/op.ts'
import { intervals } from '../intervals/kernel.ts'
import {
  chainOf,
  gatherPairs,
  packedBackward,
  packedDistanceGradient,
  packedForward,
  packedJvp,
  spreadPairs,
  tilesOf,
} from './op.ts'

const OPS = [
  'packedForward',
  'packedBackward',
  'packedDistanceGradient',
  'packedJvp',
  'spreadPairs',
  'gatherPairs',
] as const

export interface PackedSpec {
  op: (typeof OPS)[number]
  lengths: [queries: number, keys: number][]
  group: number
  kvHeads: number
  causal: boolean
  slopes: boolean
  entropy: boolean
  map: boolean
  shares: number
  seed: number
}

const length = (...longer: number[]) => fc.oneof(fc.integer({ min: 0, max: 9 }), fc.constantFrom(...longer))

export const packedSpecs: fc.Arbitrary<PackedSpec> = fc.record({
  op: fc.constantFrom(...OPS),
  lengths: fc.array(fc.tuple(length(25, 60), length(97, 400)), { minLength: 1, maxLength: 5 }),
  group: fc.constantFrom(1, 2),
  kvHeads: fc.constantFrom(1, 2),
  causal: fc.boolean(),
  slopes: fc.boolean(),
  entropy: fc.boolean(),
  map: fc.boolean(),
  shares: fc.constantFrom(1, 3, 8),
  seed: fc.nat(),
})

/** 0, and the sums of the lengths up to each. */
function sums<T extends Int32Array | Float64Array>(found: T, lengths: number[]): T {
  for (const [s, each] of lengths.entries()) found[s + 1] = found[s] + each
  return found
}

export function packedCase(spec: PackedSpec): OpCase {
  const { lengths, kvHeads, seed } = spec
  const sequences = lengths.length
  const heads = kvHeads * spec.group
  const [dimK, dimV] = [5, 4]
  const random = randomTensors(seed)
  const integers = () => new Int32Array(sequences + 1)
  const cuQ = sums(
    integers(),
    lengths.map(([n]) => n),
  )
  const cuK = sums(
    integers(),
    lengths.map(([, m]) => m),
  )
  const pairs = lengths.map(([n, m]) => n * m)
  const pairStarts = sums(new Float64Array(sequences + 1), pairs)
  const tileStarts = sums(
    integers(),
    lengths.map(([n]) => tilesOf(n)),
  )
  const [allQueries, allKeys, allPairs] = [cuQ[sequences], cuK[sequences], pairStarts[sequences]]
  const longest = {
    queries: Math.max(...lengths.map(([n]) => n)),
    keys: Math.max(...lengths.map(([, m]) => m)),
  }
  if (spec.op === 'spreadPairs') {
    const args = { heads, sequences, queries: allQueries, keys: allKeys, masked: spec.causal }
    const inputs = { x: random(heads * allPairs), cuQ, cuK, pairStarts }
    return { op: spreadPairs, args, inputs, outputs: { y: heads * allQueries * allKeys } }
  }
  if (spec.op === 'gatherPairs') {
    const args = { heads, sequences, queries: allQueries, keys: allKeys, pairs: allPairs }
    const inputs = { x: random(heads * allQueries * allKeys), cuQ, cuK, pairStarts }
    return { op: gatherPairs, args, inputs, outputs: { y: heads * allPairs } }
  }
  const own = new Int32Array(2 * allQueries)
  const masks = [{ hi: ['+', 'aligned', 1] as const }]
  const shifts = Int32Array.from(lengths, ([n, m]) => m - n)
  intervals(
    { cuQ, cuK, shifts, intervals: own },
    { batch: sequences, ...longest, shift: 0, masks },
    0,
    sequences,
  )
  const distances = 2 * (longest.queries + longest.keys)
  const args = {
    ...{ batch: 1, heads, kvHeads, ...longest, dimK, dimV, scale: 0.5, softcap: 0 },
    intervalStrides: [0, 0],
    shift: 0,
    maskKind: 'none',
    maskStrides: [0, 0, 0, 0],
    earlier: 0,
    distances,
    firstDistance: -longest.queries - longest.keys,
    ...{ dropoutP: seed % 3 === 0 ? 0.25 : 0, seedLow: 7, seedHigh: 0 },
    ...{ sequences, allQueries, allKeys, allPairs, tiles: tileStarts[sequences] },
  }
  const rows = heads * allQueries
  const inputs = given({
    q: random(rows * dimK),
    k: random(kvHeads * allKeys * dimK),
    v: random(kvHeads * allKeys * dimV),
    slopes: spec.slopes && random(heads),
    distanceBiases: (!spec.slopes || spec.op === 'packedDistanceGradient') && random(heads * distances),
    intervals: spec.causal && own,
    shifts: spec.causal && shifts,
    cuQ,
    cuK,
  }) as Inputs
  if (spec.op === 'packedForward') {
    const maps = spec.map && { weights: heads * allPairs, scores: heads * allPairs }
    const outputs = { output: rows * dimV, denominator: 2 * rows, logsumexp: rows, ...maps }
    const more = given({ entropy: spec.entropy && rows })
    return {
      op: packedForward,
      args,
      inputs: { ...inputs, tileStarts, pairStarts },
      outputs: { ...outputs, ...more },
    }
  }
  if (spec.op === 'packedJvp') {
    const moving = given({
      denominator: random(2 * rows, 1, 3),
      sinks: spec.entropy && random(heads),
      tangentSinks: spec.entropy && random(heads),
      tangentQ: random(rows * dimK),
      tangentK: spec.slopes && random(kvHeads * allKeys * dimK),
      tangentV: random(kvHeads * allKeys * dimV),
    })
    return {
      op: packedJvp,
      args,
      inputs: { ...inputs, ...moving, tileStarts, pairStarts },
      outputs: {
        tangentOutput: rows * dimV,
        tangentLogsumexp: rows,
        ...given({ tangentWeights: spec.map && heads * allPairs }),
      },
    }
  }
  const found = {
    output: random(rows * dimV),
    denominator: random(2 * rows, 1, 3),
    gradOutput: random(rows * dimV),
    ...given({
      entropy: spec.entropy && random(rows),
      scalars: spec.entropy && Float64Array.of(0.5, 0.1),
      rowTerms: spec.map && random(rows),
      weightTerms: spec.map && random(heads * allPairs),
      pairStarts: spec.map && pairStarts,
    }),
  }
  if (spec.op === 'packedDistanceGradient') {
    const outputs = { gradDistances: heads * distances }
    return { op: packedDistanceGradient, args, inputs: { ...inputs, ...found } as Inputs, outputs }
  }
  const shares = Math.min(spec.shares, chainOf(longest.keys, spec.group))
  const parts = lengths.map(([, m]) => partsOf(m))
  const several = parts.every(count => count > 1)
  // what nobody writes cannot be compared
  const forQ = (several || parts.every(count => count === 1)) && { gradQ: rows * dimK }
  const outputs = {
    delta: rows,
    ...forQ,
    ...(several && { gradQParts: rows * dimK }),
    gradK: kvHeads * allKeys * dimK,
    gradV: kvHeads * allKeys * dimV,
  }
  return { op: packedBackward, args: { ...args, shares }, inputs: { ...inputs, ...found } as Inputs, outputs }
}

export const cases = packedSpecs.map(packedCase)

const nothing = {
  group: 2,
  kvHeads: 1,
  causal: true,
  slopes: true,
  entropy: true,
  map: true,
  shares: 2,
  seed: 1,
}
export const empty: OpCase[] = OPS.flatMap(op =>
  ([[[0, 0]], [[0, 3]], [[3, 0]]] as [number, number][][]).map(lengths =>
    packedCase({ op, lengths, ...nothing }),
  ),
)
