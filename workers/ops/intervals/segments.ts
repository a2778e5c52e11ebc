import type { Tensors } from '../define-op.ts'
import type * as op from './op.ts'
import { intervalsOfSegments, type SegmentsArgs } from './op.ts'

/**
 *   intervals[b, i] = the least [lo, hi) that holds every key of row i's segment, within what `masked` allows
 *
 * A unit is a batch element; writes its intervals and whether they are mixed (see op.ts).
 */
export function segmentIntervals(
  t: Tensors<typeof op.segmentIntervals>,
  a: SegmentsArgs,
  from: number,
  to: number,
): void {
  const { queries, keys } = a
  for (let b = from; b < to; b++) {
    const own = t.intervals.subarray(2 * b * queries, 2 * (b + 1) * queries)
    const q = t.qSegments.subarray(b * queries, (b + 1) * queries)
    const kv = t.kvSegments.subarray(b * keys, (b + 1) * keys)
    t.mixed[b] = Number(intervalsOfSegments(q, kv, own))
    if (t.masked === undefined) continue
    for (let i = 0; i < queries; i++) {
      const mask = 2 * (b * a.maskedStride + i)
      own[2 * i] = Math.max(own[2 * i], t.masked[mask])
      own[2 * i + 1] = Math.min(own[2 * i + 1], t.masked[mask + 1])
    }
  }
}
