import * as fc from 'fast-check'
import { uniformNumbers } from '../../../test/support/numbers.ts'
import { given, type OpCase, randomTensors } from '../../../test/support/op-case.ts'
import { type GatherArgs, gatherRows, mergeParts, sumParts } from './op.ts'
import { emptySorts, sortCases } from './sort-cases.ts'

export interface PassesSpec extends GatherArgs {
  op: 'gatherRows' | 'sumParts' | 'mergeParts'
  entropy: boolean
  seed: number
}

const sizes = (...values: number[]) => fc.constantFrom(...values)

export const passesSpecs: fc.Arbitrary<PassesSpec> = fc.record({
  op: fc.constantFrom('gatherRows', 'sumParts', 'mergeParts'),
  parts: sizes(1, 3),
  heads: sizes(1, 2),
  rows: sizes(1, 5, 17),
  dim: sizes(1, 3, 4, 11, 16, 35),
  entropy: fc.boolean(),
  seed: fc.nat(),
})

/** A permutation of `rows` for each of `heads`. */
export function orders(heads: number, rows: number, seed: number): Int32Array {
  const uniform = uniformNumbers(seed)
  const into = new Int32Array(heads * rows)
  for (let head = 0; head < heads; head++) {
    const order = Array.from({ length: rows }, (_, i) => ({ i, key: uniform() }))
    order.sort((a, b) => a.key - b.key)
    into.set(
      order.map(({ i }) => i),
      head * rows,
    )
  }
  return into
}

export function passesCase({ op, entropy, seed, ...args }: PassesSpec): OpCase {
  const { parts, heads, rows, dim } = args
  const random = randomTensors(seed)
  const ranks = orders(parts * heads, rows, seed)
  const [own, all] = [heads * rows, parts * heads * rows]
  switch (op) {
    case 'gatherRows':
      return {
        op: gatherRows,
        args,
        inputs: { x: random(own * dim), order: ranks },
        outputs: { y: all * dim },
      }
    case 'sumParts':
      return { op: sumParts, args, inputs: { x: random(all * dim), ranks }, outputs: { y: own * dim } }
    case 'mergeParts': {
      const denominators = random(2 * all).map((x, at) => (at % 2 === 0 ? x : 1 + Math.abs(x)))
      if (seed % 3 === 0) denominators.set([Number.NEGATIVE_INFINITY, 0], 2 * (seed % all))
      const inputs = given({
        outputs: random(all * dim),
        denominators,
        entropies: entropy && random(all),
        ranks,
      })
      const outputs = given({
        output: own * dim,
        denominator: 2 * own,
        logsumexp: own,
        entropy: entropy && own,
      })
      return { op: mergeParts, args, inputs, outputs }
    }
  }
}

export const cases = fc.oneof(passesSpecs.map(passesCase), sortCases)

const nothing = { parts: 2, heads: 1, rows: 0, dim: 3, entropy: true, seed: 1 }
const rowOps = ['gatherRows', 'sumParts', 'mergeParts'] as const
export const empty: OpCase[] = [...rowOps.map(op => passesCase({ op, ...nothing })), ...emptySorts]
