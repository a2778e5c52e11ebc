/**
 * What a mask says as data: for a query row the interval [lo, hi) of keys that it may attend to. Both threads evaluate the
 * same expressions: a worker for the kernels, the main thread for the cost of what is attended.
 */

import { type Args, data, defineFamily, price } from '../define-op.ts'

/**
 * A whole number that belongs to a query row of one batch element:
 *
 *   'aligned'   where the row stands among the keys: its own index + the batch element's shift
 *   'i'         its own index
 *   'queries'   how many rows, and
 *   'keys'      how many keys of the batch element are no padding
 *   'prefix'    how many of its keys are open to every row, as `causal` reads it
 *   floorTo     the largest multiple of the second that is not above the first
 */
export type RowExpr =
  | number
  | 'aligned'
  | 'i'
  | 'queries'
  | 'keys'
  | 'prefix'
  | readonly ['+' | '-' | 'min' | 'max' | 'floorTo', RowExpr, RowExpr]

/** A mask: attends to keys in [lo, hi), only in rows with i < live; what is left out bounds nothing. */
export interface RowMask {
  lo?: RowExpr
  hi?: RowExpr
  /** rows from here on attend to nothing */
  live?: RowExpr
}

/** A row, and each of its masks. */
const ROW = price(15)
const MASK = price(20)

const family = defineFamily('intervals')

/**
 * intervals [batch, queries, 2]: the keys [lo, hi) that each row may attend to. Unit = one batch element. Of packed sequences, each is a
 * batch element of its own length: intervals [all queries, 2].
 */
export const intervals = family.define('intervals', {
  tensors: {
    /** [batch], where not given `shift`, `queries`, `keys`, 0 */
    shifts: 'in?:int32',
    qLengths: 'in?:int32',
    kvLengths: 'in?:int32',
    prefixLengths: 'in?:int32',
    /** [batch + 1] each, of packed sequences: where their rows and keys begin */
    cuQ: 'in?:int32',
    cuK: 'in?:int32',
    intervals: 'out:int32',
  },
  args: {
    /** 1 where every batch element has the same intervals */
    batch: 'i32',
    /** of packed sequences, the mean */
    queries: 'i32',
    keys: 'i32',
    /** where row 0 stands among the keys, unless the tensor `shifts` says it */
    shift: 'i32',
    masks: data<RowMask[]>(),
  },
  units: a => a.batch,
  cost: (a, { precision: p }) => ({
    nanoseconds: a.batch * a.queries * (ROW[p] + a.masks.length * MASK[p]),
  }),
  // it reads no tensor of the request, and so stands beside what reads them
  phase: 'decode',
  shared: true,
})

export type IntervalsArgs = Args<typeof intervals>

/** intervals [batch, queries, 2]: of keys whose segment is the row's own. Unit = one batch element. */
export const segmentIntervals = family.define('segmentIntervals', {
  tensors: {
    /** [batch, queries] and [batch, keys]: ids; a negative one is padding */
    qSegments: 'in:int32',
    kvSegments: 'in:int32',
    /** [batch or 1, queries, 2]: what other masks allow; where not given, all keys */
    masked: 'in?:int32',
    intervals: 'out:int32',
    /** [batch]: 1 where intervals hold keys of other segments, too */
    mixed: 'out:int32',
  },
  args: {
    batch: 'i32',
    queries: 'i32',
    keys: 'i32',
    /** rows of `masked` between batch elements; 0 where they share them */
    maskedStride: 'i32',
  },
  units: a => a.batch,
  cost: (a, { precision: p }) => ({ nanoseconds: a.batch * (a.queries + a.keys) * ROW[p] }),
  shared: true,
})

export type SegmentsArgs = Args<typeof segmentIntervals>

/** A query row as expressions see it. */
export interface RowPlace {
  aligned: number
  i: number
  queries: number
  keys: number
  prefix: number
}

export function evaluate(expr: RowExpr, row: RowPlace): number {
  if (typeof expr === 'number') return expr
  if (typeof expr === 'string') return row[expr]
  const [operator, left, right] = expr
  const a = evaluate(left, row)
  const b = evaluate(right, row)
  switch (operator) {
    case '+':
      return a + b
    case '-':
      return a - b
    case 'min':
      return Math.min(a, b)
    case 'max':
      return Math.max(a, b)
    case 'floorTo':
      return Math.floor(a / b) * b
  }
}

/**
 * The intersection of what all masks allow, within [0, keys). A row that is padding gets [keys, keys), so that both ends
 * of the intervals never decrease from one row to the next: kernels find the rows that see a block of keys by bisection.
 */
export function intervalOf(masks: readonly RowMask[], row: RowPlace, keys: number): [lo: number, hi: number] {
  let lo = 0
  let hi = keys
  for (const mask of masks) {
    if (mask.live !== undefined && row.i >= evaluate(mask.live, row)) return [keys, keys]
    if (mask.lo !== undefined) lo = Math.max(lo, evaluate(mask.lo, row))
    if (mask.hi !== undefined) hi = Math.min(hi, evaluate(mask.hi, row))
  }
  return [Math.min(lo, keys), Math.max(hi, 0)]
}

/** The intervals of several rows. */
export function intervalsOfRows(
  masks: readonly RowMask[],
  rows: readonly RowPlace[],
  keys: number,
): [lo: number, hi: number][] {
  return rows.map(row => intervalOf(masks, row, keys))
}

/** Where the keys of one segment stand, and how many there are. */
interface Segment {
  begin: number
  end: number
  keys: number
}

/**
 * Writes the least [lo, hi) that holds every key of each row's segment; a negative id is padding. Neither end decreases from one
 * row to the next: where segments do not come in the same order in queries and keys, or one is interrupted, intervals are wider
 * than that. Returns whether they are mixed: they hold keys of other segments, or a row has some that should have none.
 * Undefined where there are more than `most` segments. O(queries + keys).
 */
export function intervalsOfSegments(
  q: Int32Array,
  kv: Int32Array,
  intervals: Int32Array,
  most = Number.POSITIVE_INFINITY,
): boolean | undefined {
  const segments = segmentsOf(kv, most)
  if (segments === undefined) return undefined
  let mixed = false
  let top = 0
  for (let i = 0; i < q.length; i++) {
    const segment = q[i] < 0 ? undefined : segments.get(q[i])
    const end = segment?.end ?? top
    if (end < top || (segment !== undefined && segment.keys < end - segment.begin)) mixed = true
    top = Math.max(top, end)
    intervals[2 * i] = segment?.begin ?? top
    intervals[2 * i + 1] = top
  }
  let least = kv.length
  for (let i = q.length - 1; i >= 0; i--) {
    if (least < intervals[2 * i]) mixed = true
    least = Math.min(least, intervals[2 * i])
    intervals[2 * i] = least
  }
  return mixed
}

/** The segments of keys by id, which is looked up once for each run. */
function segmentsOf(ids: Int32Array, most: number): Map<number, Segment> | undefined {
  const segments = new Map<number, Segment>()
  let begin = 0
  for (let j = 1; j <= ids.length; j++) {
    const id = ids[begin]
    if (j < ids.length && ids[j] === id) continue
    const known = id < 0 ? undefined : segments.get(id)
    if (known !== undefined) {
      known.end = j
      known.keys += j - begin
    } else if (id >= 0) {
      if (segments.size === most) return undefined
      segments.set(id, { begin, end: j, keys: j - begin })
    }
    begin = j
  }
  return segments
}
