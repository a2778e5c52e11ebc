import * as fc from 'fast-check'
import { given, type Inputs, type OpCase, randomTensors } from '../../../test/support/op-case.ts'
import * as op from './op.ts'

const size = (...values: number[]) => fc.constantFrom(...values)
const seed = fc.nat({ max: 1 << 20 })

/** Whole numbers below `most`. */
function indices(seed: number, count: number, most: number): Int32Array {
  return Int32Array.from({ length: count }, (_, at) => (seed + 7 * at + at * at) % most)
}

interface Rows {
  rows: number
  dim: number
  entries: number
  seed: number
}

function embedded({ rows, dim, entries, seed }: Rows): OpCase[] {
  const random = randomTensors(seed)
  const ids = indices(seed, rows, entries)
  const some = seed % 2 === 1 && rows > 0
  const inputs = {
    ids,
    table: random(entries * dim),
    ...given({
      places: some && indices(seed + 1, rows, entries),
      positions: some && random(entries * dim),
      kinds: some && indices(seed + 2, rows, entries),
      types: some && random(entries * dim),
      scales: some && random(rows),
    }),
  }
  const gradient = { ids, gradY: random(rows * dim) }
  return [
    {
      op: op.embedTokens,
      args: { rows, dim, factor: 1.5 },
      inputs: inputs as Inputs,
      outputs: { y: rows * dim },
    },
    {
      op: op.embedBackward,
      args: { rows, dim, entries, factor: 1.5 },
      inputs: gradient,
      outputs: { gradTable: entries * dim },
    },
    {
      op: op.widenWeights,
      args: { count: rows * dim, shift: seed % 2 },
      inputs: { x: random(rows * dim) },
      outputs: { y: rows * dim },
    },
    {
      op: op.takeRows,
      args: { count: rows, dim },
      inputs: { x: random(entries * dim), chosen: ids },
      outputs: { y: rows * dim },
    },
    {
      op: op.putRows,
      args: { rows: entries, count: rows, dim },
      inputs: { gradY: random(rows * dim), chosen: ids },
      outputs: { gradX: entries * dim },
    },
    {
      op: op.rowDots,
      args: { rows, dim },
      inputs: { a: random(rows * dim), b: random(rows * dim) },
      outputs: { values: rows },
    },
    {
      op: op.pathSums,
      args: { batch: rows, positions: 2, dim, points: 3 },
      inputs: {
        x: random(2 * rows * dim),
        grad: random(6 * rows * dim),
        values: random(3 * rows),
        places: Float64Array.of(0, 0.25, 1),
      },
      outputs: { y: 2 * rows },
    },
    {
      op: op.capBackward,
      args: { count: rows * dim, cap: 3 },
      inputs: { y: random(rows * dim), gradY: random(rows * dim) },
      outputs: { gradX: rows * dim },
    },
  ]
}

function joined({ rows, dim, seed }: Rows): OpCase[] {
  const random = randomTensors(seed)
  const [first, second, third] = [rows, seed % 3, seed % 2]
  const whole = first + second + third
  const byRows = seed % 4 > 1
  const part = (extent: number) => random(extent * dim)
  const sizes = byRows ? { rows: whole, columns: dim } : { rows: dim, columns: whole }
  return [
    {
      op: op.joinWeights,
      args: { ...sizes, axis: byRows ? 'rows' : 'columns', first, second, transposed: seed % 5 > 2 },
      inputs: {
        a: part(first),
        ...given({ b: second > 0 && part(second), c: third > 0 && part(third) }),
      } as Inputs,
      outputs: { y: whole * dim },
    },
  ]
}

function ofLogits({ rows, entries: vocabulary, seed }: Rows): OpCase[] {
  const logits = randomTensors(seed)(rows * vocabulary, 3)
  const targets = indices(seed, rows, vocabulary)
  const top = 1 + (seed % Math.max(1, vocabulary))
  return [
    {
      op: op.tokenObjective,
      args: { rows, vocabulary, kind: seed % 2 === 0 ? 'logit' : 'log_probability' },
      inputs: { logits, targets },
      outputs: { gradLogits: rows * vocabulary, values: rows },
    },
    {
      op: op.nextToken,
      args: { vocabulary, temperature: seed % 2, topK: seed % 3, seedLow: seed, seedHigh: 1, draw: seed % 5 },
      inputs: { logits: randomTensors(seed)(vocabulary, 3) },
      outputs: { id: 1, value: 1 },
    },
    {
      op: op.topTokens,
      args: { rows, vocabulary, top: Math.min(top, vocabulary) },
      inputs: { logits },
      outputs: { found: 2 * rows * Math.min(top, vocabulary) },
    },
  ]
}

function pooledRows({ rows: positions, dim, entries, seed }: Rows): OpCase[] {
  const batch = 1 + (entries % 3)
  const random = randomTensors(seed)
  const x = random(batch * positions * dim)
  const real = Int32Array.from({ length: batch * positions }, (_, at) => Number((seed + at) % 3 > 0))
  const pooling = (['mean', 'cls', 'last'] as const)[seed % 3]
  const args = { batch, positions, dim, pooling, normalised: seed % 2 === 0 }
  return [
    { op: op.poolRows, args, inputs: { x, real }, outputs: { y: batch * dim } },
    {
      op: op.poolBackward,
      args,
      inputs: { x, real, gradY: random(batch * dim) },
      outputs: { gradX: batch * positions * dim },
    },
  ]
}

const all = (rows: Rows) => [...embedded(rows), ...joined(rows), ...ofLogits(rows), ...pooledRows(rows)]

export const cases = fc
  .record({ rows: size(1, 3, 7), dim: size(1, 5, 64, 70), entries: size(1, 4, 9), seed })
  .chain(rows => fc.constantFrom(...all(rows)))

export const empty: OpCase[] = all({ rows: 0, dim: 3, entries: 2, seed: 6 })
