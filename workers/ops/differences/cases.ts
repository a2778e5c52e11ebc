import * as fc from 'fast-check'
import { given, type OpCase, randomTensors } from '../../../test/support/op-case.ts'
import { alongDirection, LOSS_COUNT, lossValue, moveElements, SIZE_COUNT, tensorSize } from './op.ts'

const size = (...values: number[]) => fc.constantFrom(...values)

const sizes = fc.record({ count: size(1, 7, 5000), seed: fc.nat() }).map(({ count, seed }): OpCase => {
  const x = randomTensors(seed)(count)
  return { op: tensorSize, args: { count }, inputs: { x }, outputs: { figures: SIZE_COUNT } }
})

const moved = fc
  .record({
    count: size(1, 7, 5000),
    along: fc.constantFrom('nothing', 'entry', 'direction'),
    index: fc.nat(),
    seed: fc.nat(),
  })
  .map(({ count, along, index, seed }): OpCase => {
    const x = randomTensors(seed)(count)
    if (count > 1) x[1] = Number.NEGATIVE_INFINITY
    const args = { count, along, index: index % count, step: 2 ** -8, seed }
    return { op: moveElements, args, inputs: { x, figures: Float64Array.of(1, 2, 7) }, outputs: { y: count } }
  })

const slopes = fc.record({ count: size(1, 7, 5000), seed: fc.nat() }).map(({ count, seed }): OpCase => {
  const random = randomTensors(seed)
  const inputs = { x: random(count), gradient: random(count) }
  return { op: alongDirection, args: { count, seed }, inputs, outputs: { slope: 1 } }
})

const losses = fc
  .record({
    batch: size(1, 2),
    heads: size(1, 3),
    queries: size(1, 4),
    has: fc.nat({ max: 15 }),
    seed: fc.nat(),
  })
  .map(({ batch, heads, queries, has, seed }): OpCase => {
    const random = randomTensors(seed)
    const rows = batch * heads * queries
    const pair = (bit: number, value: string, gradient: string, count: number) =>
      has & bit ? { [value]: random(count), [gradient]: random(count) } : {}
    const inputs = given({
      scalars: (has & 8) > 0 && random(2),
      ...pair(1, 'output', 'gradOutput', 2 * rows),
      ...pair(2, 'weights', 'gradWeights', 3 * rows),
      ...pair(4, 'logsumexp', 'gradLogsumexp', rows),
      qLengths: seed % 2 === 0 && Int32Array.from({ length: batch }, (_, b) => Math.max(0, queries - b - 1)),
    } as Record<string, Float64Array | Int32Array | false>)
    const args = { heads, queries, terms: 6 * rows }
    return { op: lossValue, args, inputs, outputs: { value: LOSS_COUNT } }
  })

export const cases: fc.Arbitrary<OpCase> = fc.oneof(sizes, moved, slopes, losses)

const none = new Float64Array(0)
export const empty: OpCase[] = [
  { op: tensorSize, args: { count: 0 }, inputs: { x: none }, outputs: { figures: SIZE_COUNT } },
  {
    op: moveElements,
    args: { count: 0, along: 'direction', index: 0, step: 1, seed: 0 },
    inputs: { x: none, figures: Float64Array.of(0, 0, 0) },
    outputs: { y: 0 },
  },
  {
    op: alongDirection,
    args: { count: 0, seed: 0 },
    inputs: { x: none, gradient: none },
    outputs: { slope: 1 },
  },
  { op: lossValue, args: { heads: 1, queries: 0, terms: 0 }, inputs: {}, outputs: { value: LOSS_COUNT } },
]
