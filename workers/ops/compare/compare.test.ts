/** What a comparison finds, by hand and against a search through every element. */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compareAllowed, compareElements, compareFigures, roundElements, rowConditioning } from './kernel.ts'
import { FIGURE_COUNT, FOUND_COUNT } from './op.ts'

const layout = (rows: number, dim: number) => ({
  batch: 1,
  heads: 1,
  rows,
  dim,
  batchStride: rows * dim,
  headStride: 0,
  rowStride: dim,
})

const noMap = { mapRows: 0, mapColumns: 0 }

function figuresOf(candidate: number[], truth: number[], baseline = truth, dtype = 'float32' as const) {
  const figures = new Float64Array(FIGURE_COUNT)
  const of = (values: number[]) => Float64Array.from(values)
  const tensors = { candidate: of(candidate), truth: of(truth), baseline: of(baseline), figures }
  compareFigures(tensors, { ...layout(1, truth.length), dtype }, 0, 1)
  return [...figures]
}

describe('figures', () => {
  it('are maxima and sums of what differs and of what does not', () => {
    const [maxAbs, maxRel, , squares, ofCandidate, ofTruth, ofBoth, largest, ofBaseline, nan, inf, count] =
      figuresOf([1, 2.5, 0.25], [1, 2, 0], [1, 2.125, 0])
    expect([maxAbs, maxRel, squares]).toEqual([0.5, 0.25, 0.3125])
    expect([ofCandidate, ofTruth, ofBoth]).toEqual([7.3125, 5, 6])
    expect([largest, ofBaseline, nan, inf, count]).toEqual([2, 0.125, 0, 0, 3])
  })

  it('count units of the dtype at the truth, down to its least normal number', () => {
    expect(figuresOf([1 + 2 ** -22], [1])[2]).toBe(2)
    expect(figuresOf([1 - 2 ** -23], [1 - 2 ** -24])[2]).toBe(1)
    expect(figuresOf([2 ** -149], [0])[2]).toBe(1)
  })

  it('count NaN and infinities apart, and let those be that the truth has, too', () => {
    const [maxAbs, , , squares, , , , , , nan, inf] = figuresOf(
      [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN, 1],
      [1, 1, Number.NEGATIVE_INFINITY, Number.NaN, 1],
    )
    expect([maxAbs, squares, nan, inf]).toEqual([0, 0, 1, 1])
    expect(figuresOf([-3e38], [Number.NEGATIVE_INFINITY])[0]).toBe(Number.POSITIVE_INFINITY)
  })

  it('leave out a baseline that is not finite', () => {
    expect(figuresOf([1, 1], [1, 1], [Number.POSITIVE_INFINITY, 1.5])[8]).toBe(0.5)
    expect(figuresOf([1, 1], [1, 1], [Number.NaN, 1.5])[8]).toBe(0.5)
  })
})

it('what is allowed is factor times the baseline’s error and eps times the largest truth', () => {
  const figures = new Float64Array(2 * FIGURE_COUNT)
  figures.set([4, 0.5], 7)
  figures.set([8, 0.25], FIGURE_COUNT + 7)
  const allowed = new Float64Array(1)
  compareAllowed({ figures, allowed }, { heads: 2, factor: 2, eps: 0.125 }, 0, 1)
  expect(allowed[0]).toBe(2)
})

describe('elements', () => {
  it('finds the same as a search', () => {
    const value = fc.oneof(fc.double({ min: -2, max: 2, noNaN: true }), fc.constantFrom(Number.NaN, 1, 1, 1))
    const drawn = fc.record({
      got: fc.array(value, { minLength: 12, maxLength: 12 }),
      top: fc.nat(13),
      seed: fc.nat(),
    })
    fc.assert(
      fc.property(drawn, ({ got, top }) => {
        const truth = new Float64Array(12).fill(1)
        const candidate = Float64Array.from(got)
        const found = new Float64Array(FOUND_COUNT + 4 * top)
        const args = { ...layout(4, 3), ...noMap, rtol: 0, atol: 0, top }
        compareElements({ candidate, truth, allowed: Float64Array.of(0.25), found }, args, 0, 1)
        const beyond = got.map(x => Math.abs(x - 1) - 0.25)
        const bad = beyond.flatMap((x, at) => (x <= 0 ? [] : [at]))
        const rows = bad.map(at => Math.floor(at / 3))
        const columns = bad.map(at => at % 3).sort()
        const ends = [
          rows[0] ?? -1,
          rows.at(-1) ?? -1,
          new Set(rows).size,
          columns[0] ?? -1,
          columns.at(-1) ?? -1,
        ]
        expect([...found.subarray(0, FOUND_COUNT)]).toEqual([bad.length, ...ends])
        const key = (at: number) => (Number.isNaN(beyond[at]) ? Number.POSITIVE_INFINITY : beyond[at])
        const differing = got.flatMap((x, at) => (x === 1 ? [] : [at]))
        const worst = differing
          .sort((a, b) => (key(a) === key(b) ? a - b : key(a) < key(b) ? 1 : -1))
          .slice(0, top)
        const listed = Array.from({ length: top }, (_, place) => found[FOUND_COUNT + 4 * place])
        expect(listed).toEqual([...worst, ...Array(top - worst.length).fill(-1)])
      }),
    )
  })

  it('goes by a tolerance where nothing says what is allowed', () => {
    const found = new Float64Array(FOUND_COUNT)
    const tensors = { candidate: Float64Array.of(11, 1.5), truth: Float64Array.of(10, 1), found }
    compareElements(tensors, { ...layout(2, 1), ...noMap, rtol: 0.1, atol: 0.1, top: 0 }, 0, 1)
    expect([...found]).toEqual([1, 1, 1, 1, 0, 0])
  })
})

it('draws a map of blocks: of each the largest error, in multiples of what is allowed', () => {
  const [found, errorMap] = [new Float64Array(FOUND_COUNT), new Float64Array(4)]
  const candidate = Float64Array.of(1, 1.5, 1, 1, 1, Number.NaN, 1, 0.75, 1)
  const tensors = { candidate, truth: new Float64Array(9).fill(1), allowed: Float64Array.of(0.25) }
  const args = { ...layout(3, 3), rtol: 0, atol: 0, top: 0, mapRows: 2, mapColumns: 2 }
  compareElements({ ...tensors, found, errorMap }, args, 0, 1)
  // rows 0 and 1, then 2; columns 0 and 1, then 2
  expect([...errorMap]).toEqual([2, Number.POSITIVE_INFINITY, 1, 0])
})

it('rounds to nearest, ties to even', () => {
  const y = new Float64Array(3)
  const x = Float64Array.of(1 + 2 ** -11, 1 + 3 * 2 ** -11, 65519.9)
  roundElements({ x, y }, { count: 3, dtype: 'float16' }, 0, 1)
  expect([...y]).toEqual([1, 1 + 2 ** -9, 65504])
  roundElements(
    { x: Float64Array.of(1 + 2 ** -8, 1 + 3 * 2 ** -8, -1e-40), y },
    { count: 3, dtype: 'bfloat16' },
    0,
    1,
  )
  expect([...y].slice(0, 2)).toEqual([1, 1 + 2 ** -6])
})

it('rounds to float8, and leaves infinities as they are', () => {
  const y = new Float64Array(6)
  const x = Float64Array.of(1.0625, 1.1875, 500, -0.0009, 2 ** -9, Number.NEGATIVE_INFINITY)
  roundElements({ x, y }, { count: 6, dtype: 'float8_e4m3' }, 0, 1)
  expect([...y]).toEqual([1, 1.25, 448, -0, 2 ** -9, Number.NEGATIVE_INFINITY])
})

it('rows that attend to nothing have no part in the conditioning', () => {
  const figures = new Float64Array(4)
  const none = Number.NEGATIVE_INFINITY
  const extremes = Float64Array.of(3, 1, -7, none, none, none, 2, 2, 2, 5, none, 5)
  rowConditioning({ extremes, figures }, { rows: 4, eps: 2 ** -7 }, 0, 1)
  expect([...figures]).toEqual([7, 10, 1, 3])
})
