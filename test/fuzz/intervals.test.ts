/** Lists of masks, whatever their expressions: intervals are what the rules say of every pair, or the mask is refused. */
import * as fc from 'fast-check'
import { expect, it } from 'vitest'
import { intervals } from '../../workers/ops/intervals/kernel.ts'
import type { RowExpr, RowMask, RowPlace } from '../../workers/ops/intervals/op.ts'
import { runs } from './runs.ts'

const { expression } = fc.letrec<{ expression: RowExpr }>(tie => ({
  expression: fc.oneof(
    { maxDepth: 3 },
    fc.integer({ min: -12, max: 12 }),
    fc.constantFrom('i' as const, 'aligned' as const, 'queries' as const, 'keys' as const, 'prefix' as const),
    fc.tuple(
      fc.constantFrom('+' as const, '-' as const, 'min' as const, 'max' as const),
      tie('expression'),
      tie('expression'),
    ),
    fc.tuple(fc.constant('floorTo' as const), tie('expression'), fc.integer({ min: 1, max: 7 })),
  ),
}))

const masks = fc.array(
  fc.record({ lo: expression, hi: expression, live: expression }, { requiredKeys: [] }),
  { maxLength: 3 },
)

/** The value of an expression, in a second way: as a formula that JavaScript itself evaluates. */
function formula(expr: RowExpr): string {
  if (typeof expr === 'number') return `(${expr})`
  if (typeof expr === 'string') return expr
  const [a, b] = [formula(expr[1]), formula(expr[2])]
  switch (expr[0]) {
    case 'min':
    case 'max':
      return `Math.${expr[0]}(${a}, ${b})`
    case 'floorTo':
      return `(Math.floor(${a} / ${b}) * ${b})`
    default:
      return `(${a} ${expr[0]} ${b})`
  }
}

type Value = (row: RowPlace) => number
const compiled = (expr: RowExpr) =>
  new Function('{ i, aligned, queries, keys, prefix }', `return ${formula(expr)}`) as Value

it('intervals of any masks', () => {
  const problem = fc.record({
    masks,
    queries: fc.integer({ min: 1, max: 9 }),
    keys: fc.integer({ min: 1, max: 9 }),
    shift: fc.integer({ min: -9, max: 9 }),
    lengths: fc.option(fc.tuple(fc.nat(9), fc.nat(9), fc.nat(9)), { nil: undefined }),
  })
  let monotone = 0
  fc.assert(
    fc.property(problem, ({ masks, queries, keys, shift, lengths }) => {
      const [qLength, kvLength, prefix] = lengths ?? []
      const own = (length: number | undefined, most: number) =>
        length === undefined ? undefined : Int32Array.of(Math.min(length, most))
      const tensors = {
        qLengths: own(qLength, queries),
        kvLengths: own(kvLength, keys),
        prefixLengths: own(prefix, keys),
        intervals: new Int32Array(2 * queries).fill(-7),
      }
      const rules = masks.map((mask: RowMask) => ({
        lo: mask.lo === undefined ? undefined : compiled(mask.lo),
        hi: mask.hi === undefined ? undefined : compiled(mask.hi),
        live: mask.live === undefined ? undefined : compiled(mask.live),
      }))
      const places = Array.from({ length: queries }, (_, i) => ({
        i,
        aligned: i + shift,
        queries: tensors.qLengths?.[0] ?? queries,
        keys: tensors.kvLengths?.[0] ?? keys,
        prefix: tensors.prefixLengths?.[0] ?? 0,
      }))
      const sees = (row: RowPlace, j: number) =>
        rules.every(
          ({ lo, hi, live }) =>
            (live === undefined || row.i < live(row)) &&
            (lo === undefined || j >= lo(row)) &&
            (hi === undefined || j < hi(row)),
        )
      try {
        intervals(tensors, { batch: 1, queries, keys, shift, masks }, 0, 1)
      } catch (error) {
        expect(String(error)).toMatch(/begin or end before/)
        return
      }
      monotone++
      for (const [i, row] of places.entries()) {
        const [lo, hi] = tensors.intervals.subarray(2 * i)
        expect(lo).toBeGreaterThanOrEqual(0)
        expect(hi).toBeLessThanOrEqual(keys)
        for (let j = 0; j < keys; j++) expect(j >= lo && j < hi, `row ${i}, key ${j}`).toBe(sees(row, j))
        if (i === 0) continue
        expect(lo).toBeGreaterThanOrEqual(tensors.intervals[2 * i - 2])
        expect(hi).toBeGreaterThanOrEqual(tensors.intervals[2 * i - 1])
      }
    }),
    runs(0.5),
  )
  // most are refused, but not all
  expect(monotone).toBeGreaterThan(10)
})
