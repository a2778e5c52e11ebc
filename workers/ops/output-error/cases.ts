import * as fc from 'fast-check'
import { uniformNumbers } from '../../../test/support/numbers.ts'
import { given, type OpCase, paddingOf, randomTensors, withNaN } from '../../../test/support/op-case.ts'
import { outputError, outputErrorTotal } from './op.ts'

const size = (...values: number[]) => fc.constantFrom(...values)
const sizes = { batch: size(1, 2), heads: size(1, 3), queries: size(1, 3, 9), dimV: size(1, 4) }

const partial = fc.record({ ...sizes, padded: fc.boolean(), seed: fc.nat() }).map(spec => {
  const { padded, seed, ...args } = spec
  const { batch, heads, queries, dimV } = args
  const random = randomTensors(seed)
  const uniform = uniformNumbers(seed)
  const count = batch * heads * queries * dimV
  const qLengths = Int32Array.from({ length: batch }, () => Math.floor(uniform() * (queries + 1)))
  const inputs = given<Float64Array | Int32Array>({
    output: random(count),
    exact: random(count),
    qLengths: padded && qLengths,
  })
  const positionsFirst = seed % 2 === 1
  const padding = paddingOf(args, qLengths, positionsFirst)
  const hidden = padded ? withNaN(inputs, { output: padding, exact: padding }) : undefined
  return {
    op: outputError,
    args: { ...args, positionsFirst },
    inputs,
    outputs: { partials: 4 * batch * heads },
    hidden,
  } satisfies OpCase
})

const total = fc.record({ ...sizes, seed: fc.nat() }).map(({ seed, ...args }) => {
  const partials = randomTensors(seed)(4 * args.batch * args.heads).map(Math.abs)
  return { op: outputErrorTotal, args, inputs: { partials }, outputs: { errors: 3 } } satisfies OpCase
})

export const cases: fc.Arbitrary<OpCase> = fc.oneof(partial, total)

const none = new Float64Array(0)
export const empty: OpCase[] = [
  {
    op: outputError,
    args: { batch: 1, heads: 2, queries: 0, dimV: 3 },
    inputs: { output: none, exact: none },
    outputs: { partials: 8 },
  },
  {
    op: outputErrorTotal,
    args: { batch: 0, heads: 2, queries: 1, dimV: 3 },
    inputs: { partials: none },
    outputs: { errors: 3 },
  },
]
