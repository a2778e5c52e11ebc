/** Problems for the ops that sort: buckets and lengths drawn at random, and for the others what sorting gives. */
import * as fc from 'fast-check'
import { uniformNumbers } from '../../../test/support/numbers.ts'
import { given, type OpCase } from '../../../test/support/op-case.ts'
import { earlierPasses, type Pass, type PassesArgs, passesMask, sortPasses } from './op.ts'
import { sortPasses as sort } from './sort.ts'

const NAMES = ['sortPasses', 'earlierPasses', 'passesMask'] as const

const size = (...values: number[]) => fc.constantFrom(...values)

const pass: fc.Arbitrary<Pass> = fc.record({
  by: fc.constantFrom('whole' as const, 'residue' as const, 'hash' as const),
  buckets: size(1, 2, 5),
  chunk: size(0, 1, 4),
  reach: size(-1, 0, 3),
})

const specs = fc.record({
  name: fc.constantFrom(...NAMES),
  batch: size(1, 2),
  kvHeads: size(1, 2),
  group: size(1, 3),
  queries: size(1, 7, 20),
  keys: size(1, 5, 20),
  shift: size(-2, 0, 3),
  passes: fc.array(pass, { minLength: 1, maxLength: 3 }),
  causal: fc.boolean(),
  lengths: fc.boolean(),
  seed: fc.nat(),
})
type Spec = typeof specs extends fc.Arbitrary<infer S> ? S : never

function sortCase({ name, group, causal, lengths, seed, ...shape }: Spec): OpCase {
  const { batch, kvHeads, queries, keys, passes, shift } = shape
  const heads = kvHeads * group
  const uniform = uniformNumbers(seed)
  const upTo = (most: number) => Math.floor(uniform() * (most + 1))
  // `whole` has one bucket
  const own = passes.map(each => (each.by === 'whole' ? { ...each, buckets: 1 } : each))
  const args: PassesArgs = { ...shape, heads, passes: own, intervalStrides: [queries, 0] }
  const buckets = (positions: number) => {
    return Int32Array.from(
      own.flatMap(each => Array.from({ length: positions }, () => upTo(each.buckets - 1))),
    )
  }
  const positions = Int32Array.from({ length: 2 * batch * queries }, (_, at) => {
    const to = ((at >> 1) % queries) + shift + 1
    return at % 2 === 0 ? 0 : Math.max(0, Math.min(keys, to))
  })
  const inputs = given({
    qBuckets: buckets(batch * heads * queries),
    kBuckets: buckets(batch * kvHeads * keys),
    positions: causal && positions,
    qLengths: lengths && Int32Array.from({ length: batch }, () => upTo(queries)),
    kvLengths: lengths && Int32Array.from({ length: batch }, () => upTo(keys)),
  })
  const allKeys = passes.length * batch * kvHeads * keys
  const allQueries = passes.length * batch * heads * queries
  const outputs = {
    keyOrder: allKeys,
    keyRanks: allKeys,
    queryOrder: allQueries,
    queryRanks: allQueries,
    intervals: 2 * allQueries,
  }
  if (name === 'sortPasses') return { op: sortPasses, args, inputs, outputs }
  const order = {
    keyOrder: new Int32Array(allKeys),
    keyRanks: new Int32Array(allKeys),
    queryOrder: new Int32Array(allQueries),
    queryRanks: new Int32Array(allQueries),
    intervals: new Int32Array(2 * allQueries),
  }
  sort({ ...inputs, ...order }, args, 0, sortPasses.units(args))
  if (name === 'earlierPasses') {
    const others = passes.length - 1
    const found = { earlierRanks: others * allKeys, earlierIntervals: 2 * others * allQueries }
    return { op: earlierPasses, args, inputs: order, outputs: found }
  }
  const { keyOrder, queryRanks, intervals } = order
  const mask = batch * heads * queries * keys
  return { op: passesMask, args, inputs: { keyOrder, queryRanks, intervals }, outputs: { mask } }
}

export const sortCases = specs.map(sortCase)

const nothing: Omit<Spec, 'name'> = {
  batch: 1,
  kvHeads: 1,
  group: 2,
  queries: 0,
  keys: 4,
  shift: 0,
  passes: [
    { by: 'whole', buckets: 1, chunk: 0, reach: 2 },
    { by: 'residue', buckets: 3, chunk: 0, reach: -1 },
  ],
  causal: true,
  lengths: false,
  seed: 1,
}
export const emptySorts: OpCase[] = NAMES.flatMap(name => [
  sortCase({ name, ...nothing }),
  sortCase({ name, ...nothing, queries: 4, keys: 0 }),
])
