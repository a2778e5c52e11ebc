import * as fc from 'fast-check'
import { uniformNumbers } from '../../../test/support/numbers.ts'
import { given, type OpCase } from '../../../test/support/op-case.ts'
import { type IntervalsArgs, intervals, type RowMask } from './op.ts'

const MASKS: RowMask[][] = [
  [],
  [{ hi: ['+', 'aligned', 1] }],
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

export const cases = fc
  .tuple(specs, fc.boolean())
  .map(([{ lengths, seed, ...args }, packed]) =>
    packed ? packedCase(args, seed) : intervalsCase(args, lengths, seed),
  )

export const empty: OpCase[] = [
  intervalsCase({ batch: 2, queries: 0, keys: 3, shift: 0, masks: MASKS[1] }, false, 1),
  intervalsCase({ batch: 2, queries: 3, keys: 0, shift: 0, masks: MASKS[1] }, true, 1),
]
