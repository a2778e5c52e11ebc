import * as fc from 'fast-check'
import { uniformNumbers } from '../../../test/support/numbers.ts'
import { given, type OpCase } from '../../../test/support/op-case.ts'
import { type IntervalsArgs, intervals, type RowMask } from './op.ts'

const MASKS: RowMask[][] = [
  [],
  [{ hi: ['+', 'aligned', 1] }],
  [{ hi: ['max', ['+', 'aligned', 1], 'prefix'] }],
  [{ live: 'queries', hi: 'keys' }, { lo: ['-', 'aligned', 3] }],
  [{ lo: ['floorTo', 'aligned', 4], hi: ['+', ['floorTo', 'aligned', 4], 4] }],
]

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

export const cases = specs.map(({ lengths, seed, ...args }) => intervalsCase(args, lengths, seed))

export const empty: OpCase[] = [
  intervalsCase({ batch: 2, queries: 0, keys: 3, shift: 0, masks: MASKS[1] }, false, 1),
  intervalsCase({ batch: 2, queries: 3, keys: 0, shift: 0, masks: MASKS[1] }, true, 1),
]
