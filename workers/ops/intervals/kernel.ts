import type { Tensors } from '../define-op.ts'
import type * as op from './op.ts'
import { type IntervalsArgs, intervalOf } from './op.ts'

/**
 *   intervals[b, i] = the keys [lo, hi) that every mask lets row i of batch element b attend to
 *
 * intervals [batch, queries, 2]; shifts, qLengths, kvLengths, prefixLengths [batch], where not given a.shift, a.queries, a.keys, 0.
 * A row with lo ≥ hi attends to nothing. Neither end may decrease from one row to the next: a mask that breaks this is no interval mask.
 * Where cuQ and cuK are given, batch elements are packed sequences, of their own numbers of queries and keys, which are counted within
 * each. A unit is a batch element; writes its intervals.
 */
export function intervals(t: Tensors<typeof op.intervals>, a: IntervalsArgs, from: number, to: number): void {
  for (let b = from; b < to; b++) {
    const firstRow = t.cuQ?.[b] ?? b * a.queries
    const queries = t.cuQ === undefined ? a.queries : t.cuQ[b + 1] - firstRow
    const keys = t.cuK === undefined ? a.keys : t.cuK[b + 1] - t.cuK[b]
    const shift = t.shifts?.[b] ?? a.shift
    const row = {
      i: 0,
      aligned: shift,
      queries: t.qLengths?.[b] ?? queries,
      keys: t.kvLengths?.[b] ?? keys,
      prefix: t.prefixLengths?.[b] ?? 0,
    }
    let [leastLo, leastHi] = [0, 0]
    for (let i = 0; i < queries; i++) {
      row.i = i
      row.aligned = i + shift
      const [lo, hi] = intervalOf(a.masks, row, keys)
      if (lo < leastLo || hi < leastHi)
        throw new Error(`the keys of row ${i} begin or end before those of row ${i - 1}`)
      leastLo = lo
      leastHi = hi
      const at = 2 * (firstRow + i)
      t.intervals[at] = lo
      t.intervals[at + 1] = hi
    }
  }
}
