import * as fc from 'fast-check'
import { given, type OpCase, randomTensors } from '../../../test/support/op-case.ts'
import {
  combineElements,
  compareAllowed,
  compareElements,
  compareFigures,
  FIGURE_COUNT,
  FOUND_COUNT,
  fillEmptyRows,
  invertMask,
  keepMembers,
  moveIntervals,
  roundElements,
  rowConditioning,
  withoutDelta,
} from './op.ts'

const size = (...values: number[]) => fc.constantFrom(...values)
const dtype = fc.constantFrom('float32', 'float16', 'bfloat16', 'float8_e4m3')

/** [batch, heads, rows, dim] or [batch, rows, heads, dim] */
const layouts = fc
  .record({ batch: size(1, 2), heads: size(1, 3), rows: size(1, 4), dim: size(1, 5), turned: fc.boolean() })
  .map(({ turned, ...sizes }) => {
    const { heads, rows, dim } = sizes
    const strides = { headStride: turned ? dim : rows * dim, rowStride: turned ? heads * dim : dim }
    return { ...sizes, batchStride: heads * rows * dim, ...strides }
  })

function tensors(seed: number, count: number) {
  const random = randomTensors(seed)
  const truth = random(count)
  const candidate = truth.map((value, at) => (at % 3 === 0 ? value + 1e-3 * at : value))
  candidate[count >> 1] = Number.NaN
  return { truth, candidate, baseline: truth.map(value => value + 1e-3) }
}

const figures = fc
  .record({ layout: layouts, dtype, seed: fc.nat() })
  .map(({ layout, dtype, seed }): OpCase => {
    const { batch, heads, rows, dim } = layout
    const inputs = tensors(seed, batch * heads * rows * dim)
    const outputs = { figures: batch * heads * FIGURE_COUNT }
    return { op: compareFigures, args: { ...layout, dtype }, inputs, outputs }
  })

const elements = fc
  .record({ layout: layouts, top: size(0, 1, 3), ruled: fc.boolean(), seed: fc.nat() })
  .map(({ layout, top, ruled, seed }): OpCase => {
    const { batch, heads, rows, dim } = layout
    const { truth, candidate } = tensors(seed, batch * heads * rows * dim)
    const inputs = given({ truth, candidate, allowed: ruled && Float64Array.of(2e-3) })
    const [mapRows, mapColumns] = [Math.min(rows, 3), Math.min(dim, 2)]
    const args = { ...layout, rtol: 1e-3, atol: 1e-3, top, mapRows, mapColumns }
    const map = seed % 2 === 0 && { errorMap: batch * heads * mapRows * mapColumns }
    const outputs = { found: batch * heads * (FOUND_COUNT + 4 * top), ...map }
    return { op: compareElements, args, inputs, outputs }
  })

const allowed = fc.record({ heads: size(1, 4), seed: fc.nat() }).map(({ heads, seed }): OpCase => {
  const figures = randomTensors(seed)(heads * FIGURE_COUNT).map(Math.abs)
  const args = { heads, factor: 2, eps: 2 ** -23 }
  return { op: compareAllowed, args, inputs: { figures }, outputs: { allowed: 1 } }
})

const rounded = fc
  .record({ count: size(1, 9, 5000), dtype, seed: fc.nat() })
  .map(({ count, dtype, seed }): OpCase => {
    const x = randomTensors(seed)(count)
    return { op: roundElements, args: { count, dtype }, inputs: { x }, outputs: { y: count } }
  })

const conditioned = fc.record({ rows: size(1, 7), seed: fc.nat() }).map(({ rows, seed }): OpCase => {
  const extremes = randomTensors(seed)(3 * rows)
  return { op: rowConditioning, args: { rows, eps: 2 ** -7 }, inputs: { extremes }, outputs: { figures: 4 } }
})

const combined = fc
  .record({ period: size(1, 3), other: fc.boolean(), seed: fc.nat() })
  .map(({ period, other, seed }): OpCase => {
    const random = randomTensors(seed)
    const inputs = given({ x: random(12), z: other && random(24 / period) })
    const args = { count: 12, factor: 0.5, share: -1, period, stride: 2 }
    return { op: combineElements, args, inputs, outputs: { y: 12 } }
  })

/** Some rows attend to nothing. */
function denominators(seed: number, rows: number): Float64Array {
  return randomTensors(seed)(2 * rows).map((x, at) => (at % 6 === 1 ? 0 : 1 + Math.abs(x)))
}

const deltas = fc
  .record({ rows: size(1, 5), dim: size(1, 4), seed: fc.nat() })
  .map(({ rows, dim, seed }): OpCase => {
    const random = randomTensors(seed)
    const tensors = { a: random(rows * dim), b: random(rows * dim), denominator: denominators(seed, rows) }
    const inputs = given({ ...tensors, given: seed % 2 === 0 && random(rows) })
    return { op: withoutDelta, args: { rows, dim }, inputs, outputs: { terms: rows } }
  })

const emptyRows = fc
  .record({
    batch: size(1, 2),
    queries: size(1, 3),
    keys: size(1, 4),
    dim: size(1, 3),
    by: fc.constantFrom('nan', 'mean'),
    seed: fc.nat(),
  })
  .map(({ batch, seed, ...sizes }): OpCase => {
    const random = randomTensors(seed)
    const rows = batch * 2 * sizes.queries
    const inputs = {
      x: random(rows * sizes.dim),
      v: random(batch * sizes.keys * sizes.dim),
      denominator: denominators(seed, rows),
    }
    const args = { ...sizes, heads: 2, kvHeads: 1, rows }
    return { op: fillEmptyRows, args, inputs, outputs: { y: rows * sizes.dim } }
  })

const inverted = fc.record({ count: size(1, 9) }).map(({ count }): OpCase => {
  const x = Uint8Array.from({ length: count }, (_, at) => at % 3)
  return { op: invertMask, args: { count }, inputs: { x }, outputs: { y: count } }
})

const moved = fc
  .record({ rows: size(1, 5), lo: size(-1, 0, 2), hi: size(-2, 0, 1) })
  .map(({ rows, lo, hi }): OpCase => {
    const x = Int32Array.from({ length: 2 * rows }, (_, at) => (at % 2 === 0 ? 0 : Math.min(at, 6)))
    return { op: moveIntervals, args: { rows, keys: 6, lo, hi }, inputs: { x }, outputs: { y: 2 * rows } }
  })

const kept = fc
  .record({ width: size(1, 5), kept: size(0, 1), seed: fc.nat() })
  .map(({ seed, ...args }): OpCase => {
    const x = randomTensors(seed)(4 * args.width)
    return { op: keepMembers, args: { heads: 4, group: 2, ...args }, inputs: { x }, outputs: { y: x.length } }
  })

export const cases: fc.Arbitrary<OpCase> = fc.oneof(
  figures,
  elements,
  allowed,
  rounded,
  conditioned,
  combined,
  deltas,
  emptyRows,
  inverted,
  moved,
  kept,
)

const none = new Float64Array(0)
const nowhere = { batch: 0, heads: 2, rows: 3, dim: 4, batchStride: 24, headStride: 12, rowStride: 4 }
const withoutRows = { ...nowhere, batch: 1, rows: 0 }
export const empty: OpCase[] = [
  ...[nowhere, withoutRows].flatMap((layout): OpCase[] => [
    {
      op: compareFigures,
      args: { ...layout, dtype: 'float32' },
      inputs: { truth: none, candidate: none, baseline: none },
      outputs: { figures: 2 * layout.batch * FIGURE_COUNT },
    },
    {
      op: compareElements,
      args: { ...layout, rtol: 0, atol: 0, top: 1, mapRows: 0, mapColumns: 0 },
      inputs: { truth: none, candidate: none },
      outputs: { found: 2 * layout.batch * (FOUND_COUNT + 4) },
    },
  ]),
  {
    op: compareAllowed,
    args: { heads: 0, factor: 2, eps: 1 },
    inputs: { figures: none },
    outputs: { allowed: 1 },
  },
  {
    op: combineElements,
    args: { count: 0, factor: 1, share: 0, period: 1, stride: 1 },
    inputs: { x: none },
    outputs: { y: 0 },
  },
  {
    op: withoutDelta,
    args: { rows: 0, dim: 3 },
    inputs: { a: none, b: none, denominator: none },
    outputs: { terms: 0 },
  },
  {
    op: fillEmptyRows,
    args: { heads: 2, kvHeads: 1, rows: 0, queries: 0, keys: 3, dim: 2, by: 'mean' },
    inputs: { x: none, v: none, denominator: none },
    outputs: { y: 0 },
  },
  { op: invertMask, args: { count: 0 }, inputs: { x: new Uint8Array(0) }, outputs: { y: 0 } },
  {
    op: moveIntervals,
    args: { rows: 0, keys: 0, lo: 0, hi: 1 },
    inputs: { x: new Int32Array(0) },
    outputs: { y: 0 },
  },
  {
    op: keepMembers,
    args: { heads: 2, width: 0, group: 1, kept: 0 },
    inputs: { x: none },
    outputs: { y: 0 },
  },
  { op: rowConditioning, args: { rows: 0, eps: 1 }, inputs: { extremes: none }, outputs: { figures: 4 } },
  { op: roundElements, args: { count: 0, dtype: 'float16' }, inputs: { x: none }, outputs: { y: 0 } },
]
