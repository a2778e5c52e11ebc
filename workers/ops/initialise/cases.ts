import * as fc from 'fast-check'
import type { OpCase } from '../../../test/support/op-case.ts'
import { ELEMENT_BLOCK } from '../element-block.ts'
import { type InitialiseArgs, initialise } from './op.ts'

function initialiseCase(args: InitialiseArgs): OpCase {
  return { op: initialise, args, inputs: {}, outputs: { into: args.count } }
}

const words = fc.integer({ min: 0, max: 2 ** 32 - 1 })

export const cases = fc
  .record<InitialiseArgs>({
    count: fc.constantFrom(1, 7, ELEMENT_BLOCK, 3 * ELEMENT_BLOCK - 5),
    distribution: fc.constantFrom('uniform', 'normal', 'constant'),
    scale: fc.constantFrom(1, 0.02),
    seedLow: words,
    seedHigh: words,
    stream: fc.nat(100),
  })
  .map(initialiseCase)

export const empty: OpCase[] = [
  initialiseCase({ count: 0, distribution: 'normal', scale: 1, seedLow: 1, seedHigh: 2, stream: 3 }),
]
