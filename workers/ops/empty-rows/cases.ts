import * as fc from 'fast-check'
import { given, type OpCase, randomTensors } from '../../../test/support/op-case.ts'
import { emptyRowsToKeys, emptyRowsToMask, headMeans, writeEmptyRows } from './op.ts'

const size = (...values: number[]) => fc.constantFrom(...values)

const sizes = fc.record({
  batch: size(1, 2),
  kvHeads: size(1, 2),
  group: size(1, 2),
  queries: size(1, 5),
  keys: size(1, 7),
  dim: size(1, 4),
})

interface Sizes {
  batch: number
  heads: number
  kvHeads: number
  queries: number
  keys: number
  dim: number
}

/** Which rows are empty, and which of them padding. */
function rowsOf({ batch, heads, queries }: Sizes, seed: number) {
  const rows = batch * heads * queries
  return {
    denominator: randomTensors(seed)(2 * rows).map((x, at) => (at % 6 === 1 ? 0 : 1 + Math.abs(x))),
    ...given({
      qLengths: seed % 3 === 0 && Int32Array.from({ length: batch }, (_, b) => (b + seed) % (queries + 1)),
    }),
  }
}

export function writing(sizes: Sizes, by: string, seed: number): OpCase {
  const { batch, heads, kvHeads, queries, keys, dim } = sizes
  const random = randomTensors(seed)
  const count = batch * heads * queries * dim
  const v = by === 'mean' && random(batch * kvHeads * keys * dim)
  const inputs = { x: random(count), ...rowsOf(sizes, seed), ...given({ v }) }
  return { op: writeEmptyRows, args: { ...sizes, by, value: 0.25 }, inputs, outputs: { y: count } }
}

export function toKeys(sizes: Sizes, by: string, seed: number): OpCase {
  const { batch, heads, kvHeads, queries, keys, dim } = sizes
  const random = randomTensors(seed)
  const count = batch * kvHeads * keys * dim
  const gradOutput = by === 'share' && random(batch * heads * queries * dim)
  const inputs = { x: random(count), ...rowsOf(sizes, seed), ...given({ gradOutput }) }
  return { op: emptyRowsToKeys, args: { ...sizes, by }, inputs, outputs: { y: count } }
}

export function toMask(sizes: Sizes, seed: number): OpCase {
  const { dim: _, kvHeads: __, ...args } = sizes
  const { batch, heads, queries, keys } = args
  const whole = seed % 2 === 0
  const count = whole ? batch * heads * queries * keys : queries * keys
  const pairs = queries * keys
  const maskStrides = whole ? [heads * pairs, pairs, keys, 1] : [0, 0, keys, 1]
  const inputs = { x: randomTensors(seed)(count), ...rowsOf(sizes, seed) }
  return { op: emptyRowsToMask, args: { ...args, count, maskStrides }, inputs, outputs: { y: count } }
}

const ofRows = fc
  .tuple(sizes, fc.constantFrom('nan', 'value', 'mean'), fc.nat(), size(0, 1, 2))
  .map(([{ group, ...sizes }, by, seed, which]) => {
    const all = { ...sizes, heads: sizes.kvHeads * group }
    if (which === 0) return writing(all, by, seed)
    return which === 1 ? toKeys(all, by === 'nan' ? 'nan' : 'share', seed) : toMask(all, seed)
  })

const means = fc
  .record({ batch: size(1, 2), heads: size(1, 3), width: size(1, 9), seed: fc.nat() })
  .map(({ seed, ...args }): OpCase => {
    const { batch, heads, width } = args
    const x = randomTensors(seed)(batch * heads * width)
    return { op: headMeans, args, inputs: { x }, outputs: { y: batch * width } }
  })

export const cases = fc.oneof(ofRows, means)

const some = { batch: 2, heads: 2, kvHeads: 1, queries: 3, keys: 4, dim: 2 }
export const empty: OpCase[] = [
  ...[{ batch: 0 }, { queries: 0 }, { keys: 0 }].flatMap(none => {
    const sizes = { ...some, ...none }
    return [writing(sizes, 'mean', 1), toKeys(sizes, 'share', 1), toMask(sizes, 2)]
  }),
  {
    op: headMeans,
    args: { batch: 2, heads: 3, width: 0 },
    inputs: { x: new Float64Array(0) },
    outputs: { y: 0 },
  },
]
