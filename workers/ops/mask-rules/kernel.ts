/** Rules of a request, pair by pair: how many each forbids, and which forbid a pair. */
import { type BitsArgs, type BitsTensors, COUNTED_ROWS, type CountTensors, type RuleArgs } from './op.ts'

type Rules = Omit<CountTensors, 'counts' | 'attended'>
type Interval = readonly [lo: number, hi: number]

/** A row of [batch, heads, queries], and the keys [first, end) that its sequence has. */
interface Row {
  b: number
  i: number
  first: number
  end: number
  /** of its mask's first element */
  maskAt: number
}

function rowAt(t: Rules, a: RuleArgs, row: number): Row {
  const batchHead = Math.floor(row / a.queries)
  const b = Math.floor(batchHead / a.heads)
  const i = row - batchHead * a.queries
  const [ofBatch, ofHead, ofRow] = a.maskStrides
  const place = { b, i, maskAt: b * ofBatch + (batchHead - b * a.heads) * ofHead + i * ofRow }
  if (t.cuQ === undefined || t.cuK === undefined) return { ...place, first: 0, end: a.keys }
  const s = sequenceOf(t.cuQ, i)
  return { ...place, first: t.cuK[s], end: t.cuK[s + 1] }
}

/** The sequence that row i stands in: the last that begins at or before it. */
function sequenceOf(cuQ: Int32Array, i: number): number {
  let [low, high] = [0, cuQ.length - 1]
  while (high - low > 1) {
    const middle = (low + high) >> 1
    if (cuQ[middle] <= i) low = middle
    else high = middle
  }
  return low
}

/** The keys that rule r allows, of those that the row's sequence has. */
function intervalOf(t: Rules, a: RuleArgs, { b, i, first, end }: Row, rule: number): Interval {
  const at = 2 * ((rule * a.intervalBatch + (b % a.intervalBatch)) * a.queries + i)
  const intervals = t.intervals as Int32Array
  const lo = Math.min(end, first + intervals[at])
  return [lo, Math.max(lo, Math.min(end, first + intervals[at + 1]))]
}

function isOpen(mask: NonNullable<Rules['mask']>, at: number): boolean {
  return mask instanceof Uint8Array ? mask[at] !== 0 : mask[at] !== Number.NEGATIVE_INFINITY
}

/** How many of the keys [lo, hi) are allowed by what is no interval. */
type Counter = (lo: number, hi: number) => number

const every: Counter = (lo, hi) => Math.max(0, hi - lo)

function counted(prefix: Int32Array): Counter {
  return (lo, hi) => (hi > lo ? prefix[hi] - prefix[lo] : 0)
}

/** Counts without looking at the keys of each row anew, wherever rows share what they are asked about. */
class Counters {
  readonly #t: Rules
  readonly #a: RuleArgs
  #places = new Map<number, number[]>()
  #placesOf = -1
  #mask: Counter = every
  #maskAt = -1

  constructor(t: Rules, a: RuleArgs) {
    this.#t = t
    this.#a = a
  }

  ofSegments({ b, i }: Row): Counter {
    const { qSegments, kvSegments } = this.#t
    if (qSegments === undefined || kvSegments === undefined) return every
    const { queries, keys } = this.#a
    if (this.#placesOf !== b) {
      this.#places = placesById(kvSegments.subarray(b * keys, (b + 1) * keys))
      this.#placesOf = b
    }
    const id = qSegments[b * queries + i]
    const places = id < 0 ? [] : (this.#places.get(id) ?? [])
    return (lo, hi) => (hi > lo ? below(places, hi) - below(places, lo) : 0)
  }

  ofMask({ maskAt }: Row): Counter {
    const { mask } = this.#t
    if (mask === undefined || maskAt === this.#maskAt) return this.#mask
    this.#maskAt = maskAt
    this.#mask = counted(this.#prefix(mask, maskAt))
    return this.#mask
  }

  ofBoth(row: Row): Counter {
    const { mask, qSegments, kvSegments } = this.#t
    if (mask === undefined) return this.ofSegments(row)
    if (qSegments === undefined || kvSegments === undefined) return this.ofMask(row)
    const { queries, keys } = this.#a
    const id = qSegments[row.b * queries + row.i]
    return counted(this.#prefix(mask, row.maskAt, j => id >= 0 && kvSegments[row.b * keys + j] === id))
  }

  #prefix(mask: NonNullable<Rules['mask']>, at: number, also?: (j: number) => boolean): Int32Array {
    const { keys, maskStrides } = this.#a
    const step = maskStrides[3]
    const prefix = new Int32Array(keys + 1)
    let sum = 0
    for (let j = 0; j < keys; j++) {
      if (isOpen(mask, at + j * step) && (also === undefined || also(j))) sum++
      prefix[j + 1] = sum
    }
    return prefix
  }
}

function placesById(ids: Int32Array): Map<number, number[]> {
  const places = new Map<number, number[]>()
  for (let j = 0; j < ids.length; j++) {
    const there = places.get(ids[j])
    if (there === undefined) places.set(ids[j], [j])
    else there.push(j)
  }
  return places
}

/** How many of the rising numbers are below a bound. */
function below(places: number[], bound: number): number {
  let [low, high] = [0, places.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if (places[middle] < bound) low = middle + 1
    else high = middle
  }
  return low
}

/**
 *   attended[row] = pairs that every rule allows     counts[unit] = their sum, and for each rule
 *   forbidden: pairs that it does not allow          alone: those that every other rule allows
 *
 * A unit is COUNTED_ROWS rows of [batch, heads, queries].
 */
export function countPairs(t: CountTensors, a: RuleArgs, from: number, to: number): void {
  const rows = a.batch * a.heads * a.queries
  const others = [t.mask, t.qSegments, t.cuQ].filter(tensor => tensor !== undefined).length
  const width = 1 + 2 * (a.rules + others)
  const counters = new Counters(t, a)
  for (let unit = from; unit < to; unit++) {
    const counts = t.counts.subarray(unit * width, (unit + 1) * width)
    counts.fill(0)
    const last = Math.min(rows, (unit + 1) * COUNTED_ROWS)
    for (let row = unit * COUNTED_ROWS; row < last; row++) {
      t.attended[row] = countRow(t, a, rowAt(t, a, row), counters, counts)
    }
  }
}

function countRow(t: Rules, a: RuleArgs, row: Row, counters: Counters, counts: Float64Array): number {
  const { first, end } = row
  const intervals: Interval[] = []
  for (let rule = 0; rule < a.rules; rule++) intervals.push(intervalOf(t, a, row, rule))
  const [both, byMask, bySegments] = [counters.ofBoth(row), counters.ofMask(row), counters.ofSegments(row)]
  const [lo, hi] = meet(intervals, -1, first, end)
  const attended = both(lo, hi)
  counts[0] += attended
  let at = 1
  const add = (forbidden: number, alone: number) => {
    counts[at++] += forbidden
    counts[at++] += alone
  }
  for (const [rule, [from, to]] of intervals.entries()) {
    add(end - first - (to - from), both(...meet(intervals, rule, first, end)) - attended)
  }
  if (t.mask !== undefined) add(end - first - byMask(first, end), bySegments(lo, hi) - attended)
  if (t.qSegments !== undefined) add(end - first - bySegments(first, end), byMask(lo, hi) - attended)
  if (t.cuQ !== undefined) add(a.keys - (end - first), a.keys - (end - first))
  return attended
}

/** What all intervals but one have in common. */
function meet(intervals: Interval[], but: number, first: number, end: number): Interval {
  let [lo, hi] = [first, end]
  for (const [rule, [from, to]] of intervals.entries()) {
    if (rule === but) continue
    lo = Math.max(lo, from)
    hi = Math.min(hi, to)
  }
  return [lo, hi]
}

/** bits[pair] = Σ 2^r of the rules that forbid it. A unit is a row. */
export function ruleBits(t: BitsTensors, a: BitsArgs, from: number, to: number): void {
  for (let unit = from; unit < to; unit++) {
    const bits = t.bits.subarray(unit * a.keys, (unit + 1) * a.keys)
    bits.fill(0)
    writeBits(t, a, rowAt(t, a, a.row < 0 ? unit : a.row), bits)
  }
}

function writeBits(t: Rules, a: RuleArgs, row: Row, bits: BitsTensors['bits']): void {
  const { b, i, first, end } = row
  let bit = 1
  for (let rule = 0; rule < a.rules; rule++, bit *= 2) {
    const [lo, hi] = intervalOf(t, a, row, rule)
    for (let j = first; j < lo; j++) bits[j] += bit
    for (let j = hi; j < end; j++) bits[j] += bit
  }
  if (t.mask !== undefined) {
    for (let j = first; j < end; j++) if (!isOpen(t.mask, row.maskAt + j * a.maskStrides[3])) bits[j] += bit
    bit *= 2
  }
  if (t.qSegments !== undefined && t.kvSegments !== undefined) {
    const id = t.qSegments[b * a.queries + i]
    for (let j = first; j < end; j++) if (id < 0 || t.kvSegments[b * a.keys + j] !== id) bits[j] += bit
    bit *= 2
  }
  for (let j = 0; t.cuQ !== undefined && j < a.keys; j++) if (j < first || j >= end) bits[j] += bit
}
