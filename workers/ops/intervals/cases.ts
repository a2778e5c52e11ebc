import * as fc from 'fast-check'
import { uniformNumbers } from '../../../test/support/numbers.ts'
import { given, type OpCase } from '../../../test/support/op-case.ts'
import { type IntervalsArgs, intervals, type RowMask, segmentIntervals } from './op.ts'

const MASKS: RowMask[][] = [
  [],
  [{ hi: ['+', 'aligned', 1] }],
  [{ hi: ['max', ['+', 'aligned', 1], 'prefix'] }],
  [{ live: 'queries', hi: 'keys' }, { lo: ['-', 'aligned', 3] }],
  [{ lo: ['floorTo', 'aligned', 4], hi: ['+', ['floorTo', 'aligned', 4], 4] }],
]

const size = fc.constantFrom(1, 9, 40)

const specs = fc.record({
  batch: fc.constantFrom(1, 2, 3),
  queries: fc.constantFrom(1, 7, 40),
  keys: fc.constantFrom(1, 9, 40),
  shift: fc.integer({ min: -20, max: 20 }),
  masks: fc.constantFrom(...MASKS),
  lengths: fc.boolean(),
  seed: fc.nat(),
})

function intervalsCase(args: IntervalsArgs, lengths: boolean, seed: number): OpCase {
  const uniform = uniformNumbers(seed)
  const of = (most: number) =>
    Int32Array.from({ length: args.batch }, () => Math.floor(uniform() * (most + 1)))
  const inputs = given<Int32Array>({
    shifts: lengths && of(5),
    qLengths: lengths && of(args.queries),
    kvLengths: lengths && of(args.keys),
    prefixLengths: lengths && of(args.keys),
  })
  return { op: intervals, args, inputs, outputs: { intervals: 2 * args.batch * args.queries } }
}

/** The same of packed sequences, some of them empty. */
function packedCase({ queries, keys, ...args }: IntervalsArgs, seed: number): OpCase {
  const uniform = uniformNumbers(seed)
  const starts = (most: number) => {
    const found = new Int32Array(args.batch + 1)
    for (let s = 0; s < args.batch; s++) found[s + 1] = found[s] + Math.floor(uniform() * (most + 1))
    return found
  }
  const inputs = { cuQ: starts(queries), cuK: starts(keys) }
  const rows = inputs.cuQ[args.batch]
  return { op: intervals, args: { queries, keys, ...args }, inputs, outputs: { intervals: 2 * rows } }
}

function segmentsCase(args: Pick<IntervalsArgs, 'batch' | 'queries' | 'keys'>, seed: number): OpCase {
  const uniform = uniformNumbers(seed)
  const rows = args.batch * args.queries
  // in the order in which they come, or not
  const sorted = uniform() < 0.5
  const ids = (length: number) => {
    const drawn = Int32Array.from({ length }, () => Math.floor(5 * uniform()) - 1)
    return sorted ? drawn.sort() : drawn
  }
  const masked = uniform() < 0.5 && Int32Array.from({ length: 2 * rows }, (_, at) => (at % 2) * args.keys)
  const inputs = given<Int32Array>({
    qSegments: ids(rows),
    kvSegments: ids(args.batch * args.keys),
    masked,
  })
  const outputs = { intervals: 2 * rows, mixed: args.batch }
  return { op: segmentIntervals, args: { ...args, maskedStride: args.queries }, inputs, outputs }
}

const segmentSpecs = fc.record({ batch: fc.constantFrom(1, 2, 3), queries: size, keys: size })

export const cases = fc.oneof(
  specs.map(({ lengths, seed, ...args }) => intervalsCase(args, lengths, seed)),
  specs.map(({ lengths: _, seed, ...args }) => packedCase(args, seed)),
  fc.tuple(segmentSpecs, fc.nat()).map(([args, seed]) => segmentsCase(args, seed)),
)

export const empty: OpCase[] = [
  intervalsCase({ batch: 2, queries: 0, keys: 3, shift: 0, masks: MASKS[1] }, false, 1),
  intervalsCase({ batch: 2, queries: 3, keys: 0, shift: 0, masks: MASKS[1] }, true, 1),
  segmentsCase({ batch: 2, queries: 0, keys: 3 }, 1),
  segmentsCase({ batch: 2, queries: 3, keys: 0 }, 1),
]
