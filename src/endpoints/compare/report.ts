/** The numbers that a comparison has left in its program's buffers → the answer. */
import type { Ref } from '../../../workers/contract.ts'
import { FIGURE_COUNT, FOUND_COUNT, WORST_COUNT } from '../../../workers/ops/compare/op.ts'
import { indices } from '../../formats/tensor.ts'
import { type Axes, headIndex, rowIndex } from './axes.ts'
import { type BadHead, keepPlaces } from './places.ts'
import type { CompareRequest } from './request.ts'

/** A tensor that was compared, and the buffers that hold what was found. */
export interface Compared {
  name: string
  shape: number[]
  axes: Axes
  figures: Ref
  allowed: Ref
  found: Ref
  map: { errorMap: Ref; mapRows: number; mapColumns: number } | undefined
}

type Read = (buffer: Ref) => Float64Array
type Told = number | string

export interface TensorReport {
  verdict: 'pass' | 'fail'
  mismatched: number
  rmse: Told
  heads: { index: number[]; max_abs: Told; verdict: 'pass' | 'fail' }[]
  [field: string]: unknown
}

export interface Report {
  verdict: 'pass' | 'fail'
  tensors: Record<string, TensorReport>
  conditioning?: Record<string, Told>
  [field: string]: unknown
}

const MOST_HEADS = 1024
const MOST_MAPS = 64

export function reportOf(
  request: CompareRequest,
  compared: Compared[],
  conditioning: Ref[],
  read: Read,
): Report {
  const tensors = Object.fromEntries(compared.map(each => [each.name, tensorReport(request, each, read)]))
  const failed = Object.values(tensors).some(({ verdict }) => verdict === 'fail')
  const { endpoint, dtype, rule } = request
  const of = { endpoint: endpoint.path, candidate_dtype: dtype, rule }
  const report: Report = { verdict: failed ? 'fail' : 'pass', ...of, tensors }
  return conditioning.length === 0
    ? report
    : { ...report, conditioning: conditioningOf(conditioning.map(read)) }
}

function tensorReport({ rule, top }: CompareRequest, compared: Compared, read: Read): TensorReport {
  const { shape, axes } = compared
  const figures = read(compared.figures)
  const found = read(compared.found)
  const heads = axes.batch * axes.heads
  const width = FOUND_COUNT + WORST_COUNT * top
  const units = Array.from({ length: heads }, (_, unit) => unit)
  const of = (unit: number, field: number) => figures[unit * FIGURE_COUNT + field]
  const most = (field: number) => units.reduce((max, unit) => Math.max(max, of(unit, field)), 0)
  const sum = (field: number) => units.reduce((total, unit) => total + of(unit, field), 0)
  const errorOf = (unit: number) => (of(unit, 9) + of(unit, 10) > 0 ? Number.MAX_VALUE : of(unit, 0))
  const mismatches = (unit: number) => found[unit * width]
  const mismatched = units.reduce((total, unit) => total + mismatches(unit), 0)
  const [maxAbs, baseline, nan, inf] = [most(0), most(8), sum(9), sum(10)]
  const counted = sum(11) - nan - inf
  const ofBoth = Math.sqrt(sum(4)) * Math.sqrt(sum(5))
  const ratioOf = (error: number) => finite(error / baseline)
  const verdictOf = (count: number) => (count > 0 ? 'fail' : 'pass')
  const allowed = rule.kind === 'tolerance' ? rule.atol + rule.rtol * most(7) : read(compared.allowed)[0]
  const worst = units.flatMap(unit => worstOf(found.subarray(unit * width + FOUND_COUNT, (unit + 1) * width)))
  const byError = units.length > MOST_MAPS ? units.toSorted((a, b) => errorOf(b) - errorOf(a)) : units
  const mapped = new Set(byError.slice(0, MOST_MAPS))
  const report: TensorReport = {
    verdict: verdictOf(mismatched),
    max_abs: told(maxAbs),
    max_rel: told(most(1)),
    max_ulp: told(most(2)),
    rmse: told(counted === 0 ? 0 : Math.sqrt(sum(3) / counted)),
    cosine: finite(Math.min(1, sum(6) / ofBoth)),
    baseline_max_abs: told(baseline),
    ratio: ratioOf(maxAbs),
    allowed: told(allowed),
    nan,
    inf,
    mismatched,
    worst: worst
      .toSorted((a, b) => b.beyond - a.beyond || a.at - b.at)
      .slice(0, top)
      .map(({ at, got, want, allowed }) => ({
        index: indices(shape, at),
        got: told(got),
        want: told(want),
        allowed: told(allowed),
      })),
    heads: (units.length > MOST_HEADS ? byError : units).slice(0, MOST_HEADS).map(unit => ({
      index: headIndex(axes, shape, unit),
      max_abs: told(of(unit, 0)),
      ratio: ratioOf(of(unit, 0)),
      verdict: verdictOf(mismatches(unit)),
      ...(compared.map && mapped.has(unit) && { error_map: errorMapOf(compared.map, unit, read) }),
    })),
    first_bad_row: firstBadRow(compared, unit => found[unit * width + 1]),
  }
  const bad = units.filter(mismatches).map((unit): BadHead => {
    const [, firstRow, lastRow, badRows, firstColumn, lastColumn] = found.subarray(unit * width)
    const index = headIndex(axes, shape, unit)
    return { index, error: errorOf(unit), firstRow, lastRow, badRows, firstColumn, lastColumn }
  })
  return keepPlaces(report, {
    extents: axes.headAxes.map(axis => shape[axis]),
    rows: axes.rows,
    columns: axes.dim,
    bad,
  })
}

function errorMapOf(
  { errorMap, mapRows, mapColumns }: NonNullable<Compared['map']>,
  unit: number,
  read: Read,
): Told[][] {
  const blocks = read(errorMap)
  return Array.from({ length: mapRows }, (_, row) => {
    const start = (unit * mapRows + row) * mapColumns
    return Array.from(blocks.subarray(start, start + mapColumns), x => told(Number(x.toPrecision(3))))
  })
}

/** A head's list, as far as it goes. */
function worstOf(list: Float64Array) {
  const worst = []
  for (let place = 0; place < list.length && list[place] >= 0; place += WORST_COUNT) {
    const [at, got, want, allowed] = list.subarray(place, place + WORST_COUNT)
    const beyond = Math.abs(got - want) - allowed
    worst.push({ at, got, want, allowed, beyond: Number.isNaN(beyond) ? Number.POSITIVE_INFINITY : beyond })
  }
  return worst
}

function firstBadRow({ shape, axes }: Compared, rowOf: (unit: number) => number): number[] | null {
  let first: number[] | null = null
  for (let unit = 0; unit < axes.batch * axes.heads; unit++) {
    const row = rowOf(unit)
    if (row < 0) continue
    const index = rowIndex(axes, shape, unit, row)
    if (first === null || isBefore(index, first)) first = index
  }
  return first
}

function isBefore(a: number[], b: number[]): boolean {
  const axis = a.findIndex((value, at) => value !== b[at])
  return axis >= 0 && a[axis] < b[axis]
}

/** Of every attention: each has its largest score, its spread, and its rows. */
function conditioningOf(figures: Float64Array[]): Record<string, Told> {
  const most = (field: number) => figures.reduce((max, each) => Math.max(max, each[field]), 0)
  const sum = (field: number) => figures.reduce((total, each) => total + each[field], 0)
  return { largest_score: told(most(0)), spread: told(most(1)), rows_near_ties: sum(2), rows: sum(3) }
}

/** null where it is none: something was divided by 0. */
function finite(value: number): number | null {
  return Number.isFinite(value) ? value : null
}

/** What JSON cannot hold is a string. */
function told(value: number): Told {
  return Number.isFinite(value) ? value : String(value)
}
