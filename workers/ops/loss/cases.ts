import * as fc from 'fast-check'
import { uniformNumbers } from '../../../test/support/numbers.ts'
import { given, type OpCase, paddingOf, randomTensors, withNaN } from '../../../test/support/op-case.ts'
import { unevenStarts } from '../sinks/cases.ts'
import { lossTotal, rowTerms, squaredErrorLoss } from './op.ts'

const size = (...values: number[]) => fc.constantFrom(...values)
const seed = fc.nat()

const errors = fc
  .record({
    batch: size(1, 2),
    heads: size(1, 3),
    queries: size(1, 3, 9),
    dimV: size(1, 4),
    padded: fc.boolean(),
    seed,
  })
  .map(({ padded, seed, ...sizes }): OpCase => {
    const { batch, heads, queries, dimV } = sizes
    const random = randomTensors(seed)
    const uniform = uniformNumbers(seed)
    const count = batch * heads * queries * dimV
    const qLengths = Int32Array.from({ length: batch }, () => Math.floor(uniform() * (queries + 1)))
    const inputs = given<Float64Array | Int32Array>({
      output: random(count),
      target: random(count),
      qLengths: padded && qLengths,
    })
    const positionsFirst = seed % 2 === 1
    const padding = paddingOf(sizes, qLengths, positionsFirst)
    return {
      op: squaredErrorLoss,
      args: { ...sizes, factor: 0.25, positionsFirst },
      inputs,
      outputs: { gradOutput: count, partials: batch * heads },
      hidden: padded ? withNaN(inputs, { output: padding, target: padding }) : undefined,
    }
  })

const totals = fc
  .record({ partials: size(1, 6), rows: size(1, 4, 20), entropyWeight: size(0, 0.3), seed })
  .map(({ seed, ...args }): OpCase => {
    const random = randomTensors(seed)
    const inputs = {
      partials: random(args.partials),
      entropy: random(args.rows),
      logsumexp: random(args.rows),
    }
    const empty = seed % args.rows
    inputs.logsumexp[empty] = Number.NEGATIVE_INFINITY
    const hidden = withNaN(inputs, { entropy: [[empty, empty + 1]] })
    return { op: lossTotal, args, inputs, outputs: { scalars: 2 }, hidden }
  })

const terms = fc
  .record({
    batch: size(1, 2),
    heads: size(1, 3),
    queries: size(1, 3),
    keys: size(1, 7),
    which: size(0, 1, 2),
    padded: fc.boolean(),
    seed,
  })
  .map(({ which, padded, seed, ...sizes }): OpCase => {
    const { batch, heads, queries, keys } = sizes
    const random = randomTensors(seed)
    const rows = batch * heads * queries
    const weights = random(rows * keys)
    const unseen = seed % weights.length
    weights[unseen] = 0
    const ofWeights = which > 0 && { weights, gradWeights: random(rows * keys) }
    const inputs = given<Float64Array | Int32Array>({
      ...ofWeights,
      gradLogsumexp: which < 2 && random(rows),
      qLengths: padded && Int32Array.from({ length: batch }, (_, b) => (seed + b) % (queries + 1)),
      ...(!padded && seed % 2 === 1 && unevenStarts(sizes)),
    })
    const hidden = withNaN(inputs, { gradWeights: [[unseen, unseen + 1]] })
    return { op: rowTerms, args: sizes, inputs, outputs: { terms: rows }, hidden }
  })

export const cases = fc.oneof(errors, totals, terms)

const none = new Float64Array(0)
export const empty: OpCase[] = [
  {
    op: squaredErrorLoss,
    args: { batch: 2, heads: 1, queries: 0, dimV: 3, factor: 1 },
    inputs: { output: none, target: none },
    outputs: { gradOutput: 0, partials: 2 },
  },
  { op: rowTerms, args: { batch: 2, heads: 1, queries: 0, keys: 3 }, inputs: {}, outputs: { terms: 0 } },
  { op: lossTotal, args: { partials: 0, rows: 0, entropyWeight: 1 }, inputs: {}, outputs: { scalars: 2 } },
]
