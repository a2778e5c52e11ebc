/** A candidate beside the truth and a baseline, element by element, in float64. */
import { roundTo } from '../../text/float16.ts'
import { ELEMENT_BLOCK } from '../element-block.ts'
import {
  type AllowedArgs,
  type AllowedTensors,
  type ConditioningArgs,
  type ConditioningTensors,
  type ElementsArgs,
  type ElementsTensors,
  FIGURE_COUNT,
  type FiguresArgs,
  type FiguresTensors,
  FOUND_COUNT,
  type RoundArgs,
  type RoundTensors,
  WORST_COUNT,
} from './op.ts'

/** y = x rounded to the nearest number of the dtype, ties to even. A unit is ELEMENT_BLOCK elements; y may be x itself. */
export function roundElements({ x, y }: RoundTensors, a: RoundArgs, from: number, to: number): void {
  const end = Math.min(to * ELEMENT_BLOCK, a.count)
  for (let at = from * ELEMENT_BLOCK; at < end; at++) {
    // −∞ masks, in a type that has no infinities, too
    y[at] = Math.abs(x[at]) === Number.POSITIVE_INFINITY ? x[at] : roundTo(a.dtype, x[at])
  }
}

/** Bits of a number's fraction, and the exponent of the least normal number. */
const FORMATS = {
  float32: [23, -126],
  float16: [10, -14],
  bfloat16: [7, -126],
  float8_e4m3: [3, -6],
} as const

/** The distance from |x| to the next number of the dtype: 2^(exponent − bits). */
function unitOf(x: number, [bits, least]: readonly [number, number]): number {
  const exponent = x === 0 ? least : Math.floor(Math.log2(Math.abs(x)))
  return 2 ** (Math.max(exponent, least) - bits)
}

type Layout = Pick<FiguresArgs, 'heads' | 'rows' | 'dim' | 'batchStride' | 'headStride' | 'rowStride'>

function startOf(a: Layout, unit: number): number {
  return Math.floor(unit / a.heads) * a.batchStride + (unit % a.heads) * a.headStride
}

/**
 * figures[unit] = (max |c − t|, max |c − t|/|t| where t ≠ 0, max |c − t| in units of the dtype at t, Σ (c − t)², Σ c², Σ t², Σ c·t,
 * max |t|, max |b − t|, NaN, infinities, elements) over one (batch, head); c candidate, t truth, b baseline.
 *
 * NaN and ∞ of the candidate are counted where the truth is not the same, and so are not in the sums. Where truth or baseline are not
 * finite they have no part in their maxima: a baseline that overflows says nothing of how far a candidate may be.
 */
export function compareFigures(t: FiguresTensors, a: FiguresArgs, from: number, to: number): void {
  const format = FORMATS[a.dtype]
  const { candidate, truth, baseline } = t
  for (let unit = from; unit < to; unit++) {
    const start = startOf(a, unit)
    let [maxAbs, maxRel, maxUlp, squares, ofCandidate, ofTruth, ofBoth] = [0, 0, 0, 0, 0, 0, 0]
    let [largest, ofBaseline, nan, infinite] = [0, 0, 0, 0]
    for (let row = 0; row < a.rows; row++) {
      const begin = start + row * a.rowStride
      for (let at = begin; at < begin + a.dim; at++) {
        const [got, want] = [candidate[at], truth[at]]
        if (Number.isFinite(want)) largest = Math.max(largest, Math.abs(want))
        const plain = Math.abs(baseline[at] - want)
        if (plain < Number.POSITIVE_INFINITY) ofBaseline = Math.max(ofBaseline, plain)
        if (got === want || (Number.isNaN(got) && Number.isNaN(want))) {
          if (Number.isFinite(want)) {
            ofCandidate += want * want
            ofTruth += want * want
            ofBoth += want * want
          }
          continue
        }
        if (Number.isNaN(got)) nan++
        else if (!Number.isFinite(got)) infinite++
        if (!Number.isFinite(got)) continue
        const difference = Math.abs(got - want)
        maxAbs = Math.max(maxAbs, Number.isNaN(difference) ? Number.POSITIVE_INFINITY : difference)
        if (!Number.isFinite(want)) continue
        if (want !== 0) maxRel = Math.max(maxRel, difference / Math.abs(want))
        maxUlp = Math.max(maxUlp, difference / unitOf(want, format))
        squares += difference * difference
        ofCandidate += got * got
        ofTruth += want * want
        ofBoth += got * want
      }
    }
    const sums = [squares, ofCandidate, ofTruth, ofBoth]
    const counts = [nan, infinite, a.rows * a.dim]
    t.figures.set([maxAbs, maxRel, maxUlp, ...sums, largest, ofBaseline, ...counts], unit * FIGURE_COUNT)
  }
}

/** allowed = factor·max |b − t| + eps·max |t| over all heads. One unit; writes allowed. */
export function compareAllowed(t: AllowedTensors, a: AllowedArgs, from: number, to: number): void {
  if (from >= to) return
  let [largest, ofBaseline] = [0, 0]
  for (let at = 0; at < a.heads * FIGURE_COUNT; at += FIGURE_COUNT) {
    largest = Math.max(largest, t.figures[at + 7])
    ofBaseline = Math.max(ofBaseline, t.figures[at + 8])
  }
  t.allowed[0] = a.factor * ofBaseline + a.eps * largest
}

/**
 * found[unit] = (mismatches, the first row that has one, the last, how many rows have one, the first column, the last, then the worst
 * elements: index, got, want, allowed), worst first; −1 for rows, columns and indices that there are not. An element mismatches where not |c − t| ≤ allowed, or atol + rtol·|t| without it, a NaN
 * where the truth has none among them. The worst are those furthest beyond what is allowed, of those that differ.
 *
 * errorMap: rows and columns in blocks, of each the largest |c − t|/allowed; ∞ where it is no number, or nothing is allowed.
 */
export function compareElements(t: ElementsTensors, a: ElementsArgs, from: number, to: number): void {
  const width = FOUND_COUNT + WORST_COUNT * a.top
  const worst = new Float64Array(a.top)
  for (let unit = from; unit < to; unit++) {
    const start = startOf(a, unit)
    const list = unit * width + FOUND_COUNT
    let [mismatches, first, last, bad, firstColumn, lastColumn, held] = [0, -1, -1, 0, a.dim, -1, 0]
    t.found.fill(-1, list, list + WORST_COUNT * a.top)
    const map = unit * a.mapRows * a.mapColumns
    t.errorMap?.fill(0, map, map + a.mapRows * a.mapColumns)
    for (let row = 0; row < a.rows; row++) {
      const begin = start + row * a.rowStride
      for (let at = begin; at < begin + a.dim; at++) {
        const [got, want] = [t.candidate[at], t.truth[at]]
        if (got === want || (Number.isNaN(got) && Number.isNaN(want))) continue
        const allowed = t.allowed === undefined ? a.atol + a.rtol * Math.abs(want) : t.allowed[0]
        const beyond = Math.abs(got - want) - allowed
        if (!(beyond <= 0)) {
          mismatches++
          if (first < 0) first = row
          if (last !== row) bad++
          last = row
          firstColumn = Math.min(firstColumn, at - begin)
          lastColumn = Math.max(lastColumn, at - begin)
        }
        if (t.errorMap) {
          const block = map + Math.floor((row * a.mapRows) / a.rows) * a.mapColumns
          const column = Math.floor(((at - begin) * a.mapColumns) / a.dim)
          const share = Math.abs(got - want) / allowed
          const error = Number.isNaN(share) ? Number.POSITIVE_INFINITY : share
          t.errorMap[block + column] = Math.max(t.errorMap[block + column], error)
        }
        const excess = Number.isNaN(beyond) ? Number.POSITIVE_INFINITY : beyond
        if (held === a.top && !(excess > worst[held - 1])) continue
        let place = held < a.top ? held++ : held - 1
        for (; place > 0 && worst[place - 1] < excess; place--) worst[place] = worst[place - 1]
        worst[place] = excess
        const to = list + WORST_COUNT * place
        t.found.copyWithin(to + WORST_COUNT, to, list + WORST_COUNT * (held - 1))
        t.found.set([at, got, want, allowed], to)
      }
    }
    if (first < 0) firstColumn = -1
    t.found.set([mismatches, first, last, bad, firstColumn, lastColumn], unit * width)
  }
}

/**
 * figures = (the largest |s|, the largest distance between two scores of a row, how many rows have their two largest scores no further
 * apart than eps·|s|, so that the dtype can hardly tell which is larger, how many rows attend to something). One unit.
 */
export function rowConditioning(t: ConditioningTensors, a: ConditioningArgs, from: number, to: number): void {
  if (from >= to) return
  let [largest, spread, ties, rows] = [0, 0, 0, 0]
  for (let at = 0; at < 3 * a.rows; at += 3) {
    const [most, second, least] = t.extremes.subarray(at, at + 3)
    if (most === Number.NEGATIVE_INFINITY) continue
    rows++
    largest = Math.max(largest, Math.abs(most), Math.abs(least))
    spread = Math.max(spread, most - least)
    if (most - second <= a.eps * Math.abs(most)) ties++
  }
  t.figures.set([largest, spread, ties, rows])
}
