import type { Tensors } from '../define-op.ts'
import type * as op from './op.ts'
import type { SegmentsArgs } from './op.ts'

/** Where the keys of one segment stand, and how many there are. */
interface Segment {
  begin: number
  end: number
  keys: number
}

/**
 *   intervals[b, i] = the least [lo, hi) that holds every key of row i's segment, within what `masked` allows
 *
 * Neither end decreases from one row to the next: where segments do not come in the same order in queries and keys, or a segment
 * is interrupted, intervals are wider than that, and mixed[b] is 1: they hold keys of other segments, too. In a row that is
 * padding (a negative id) or whose segment has no keys an interval is empty, or else mixed[b] is 1.
 * A unit is a batch element; writes its intervals and whether they are mixed. O(queries + keys).
 */
export function segmentIntervals(
  t: Tensors<typeof op.segmentIntervals>,
  a: SegmentsArgs,
  from: number,
  to: number,
): void {
  for (let b = from; b < to; b++) {
    const segments = segmentsOf(t.kvSegments, b * a.keys, a.keys)
    const first = b * a.queries
    t.mixed[b] = 0
    let top = 0
    for (let i = 0; i < a.queries; i++) {
      const id = t.qSegments[first + i]
      const segment = id < 0 ? undefined : segments.get(id)
      const end = segment?.end ?? top
      if (end < top || (segment !== undefined && segment.keys < end - segment.begin)) t.mixed[b] = 1
      top = Math.max(top, end)
      t.intervals[2 * (first + i)] = segment?.begin ?? top
      t.intervals[2 * (first + i) + 1] = top
    }
    let least = a.keys
    for (let i = a.queries - 1; i >= 0; i--) {
      const at = 2 * (first + i)
      const own = t.intervals[at]
      if (least < own) t.mixed[b] = 1
      least = Math.min(least, own)
      const mask = 2 * (b * a.maskedStride + i)
      t.intervals[at] = Math.max(least, t.masked?.[mask] ?? 0)
      t.intervals[at + 1] = Math.min(t.intervals[at + 1], t.masked?.[mask + 1] ?? a.keys)
    }
  }
}

/** The segments of keys [first, first + count) of `ids`, by id; looked up once for each run of the same id. */
function segmentsOf(ids: Int32Array, first: number, count: number): Map<number, Segment> {
  const segments = new Map<number, Segment>()
  let begin = 0
  for (let j = 1; j <= count; j++) {
    const id = ids[first + begin]
    if (j < count && ids[first + j] === id) continue
    if (id >= 0) {
      const known = segments.get(id)
      if (known === undefined) segments.set(id, { begin, end: j, keys: j - begin })
      else {
        known.end = j
        known.keys += j - begin
      }
    }
    begin = j
  }
  return segments
}
