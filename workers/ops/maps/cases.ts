import * as fc from 'fast-check'
import { type OpCase, randomTensors } from '../../../test/support/op-case.ts'
import { headMaxima, poolMaps, quantiseMaps, takeHeads } from './op.ts'

const size = (...values: number[]) => fc.constantFrom(...values)
const seed = fc.nat()

const taken = fc
  .record({
    batch: size(1, 2, 3),
    heads: size(1, 3, 5),
    width: size(1, 7),
    picks: fc.array(fc.nat(), { minLength: 1, maxLength: 4 }),
    seed,
  })
  .map(({ batch, heads, width, picks, seed }): OpCase => {
    const chosen = picks.map(pick => pick % heads)
    const x = randomTensors(seed)(batch * heads * width)
    const outputs = { y: batch * chosen.length * width }
    return { op: takeHeads, args: { batch, heads, chosen, width }, inputs: { x }, outputs }
  })

const pooled = fc
  .record({
    maps: size(1, 3),
    rows: size(1, 7, 17),
    columns: size(1, 5, 16),
    block: size(1, 2, 5, 20),
    pool: fc.constantFrom('max', 'mean'),
    seed,
  })
  .map(({ seed, ...args }): OpCase => {
    const { maps, rows, columns, block } = args
    const x = randomTensors(seed)(maps * rows * columns)
    const outputs = { y: maps * Math.ceil(rows / block) * Math.ceil(columns / block) }
    return { op: poolMaps, args, inputs: { x }, outputs }
  })

const quantised = fc
  .record({ maps: size(1, 3), elements: size(1, 7, 40), signed: fc.boolean(), seed })
  .map(({ seed, ...args }): OpCase => {
    const count = args.maps * args.elements
    const x = randomTensors(seed)(count).map(value => (args.signed ? value : Math.abs(value)))
    return { op: quantiseMaps, args, inputs: { x }, outputs: { y: count, scale: args.maps } }
  })

const largest = fc
  .record({ parts: size(1, 3), count: size(1, 4), rows: size(1, 7), seed })
  .map(({ seed, ...args }): OpCase => {
    const x = randomTensors(seed)(args.parts * args.count * args.rows)
    return { op: headMaxima, args, inputs: { x }, outputs: { y: args.count } }
  })

export const cases = fc.oneof(taken, pooled, quantised, largest)

const x = new Float64Array(0)
export const empty: OpCase[] = [
  { op: takeHeads, args: { batch: 2, heads: 3, chosen: [1], width: 0 }, inputs: { x }, outputs: { y: 0 } },
  {
    op: poolMaps,
    args: { maps: 2, rows: 0, columns: 3, block: 1, pool: 'max' },
    inputs: { x },
    outputs: { y: 0 },
  },
  {
    op: quantiseMaps,
    args: { maps: 2, elements: 0, signed: true },
    inputs: { x },
    outputs: { y: 0, scale: 2 },
  },
  { op: headMaxima, args: { parts: 1, count: 0, rows: 3 }, inputs: { x }, outputs: { y: 0 } },
  { op: headMaxima, args: { parts: 2, count: 2, rows: 0 }, inputs: { x }, outputs: { y: 2 } },
]
