/** From buckets to sorted keys and queries, and the interval of sorted keys that each query attends to. */
import type { Tensors } from '../define-op.ts'
import type * as op from './op.ts'
import type { Pass, PassesArgs } from './op.ts'

type SortTensors = Tensors<typeof op.sortPasses>

/**
 * Keys are sorted by (bucket, position), queries by (bucket, position). A query, aligned i of its own place among the
 * keys, attends to the keys j of its bucket for which, all together,
 *
 *   j stands in the row's interval of `positions` (what causal, window and lengths allow), i < qLengths
 *   |aligned i − j| ≤ reach
 *   ⌊rank of j/chunk⌋ is at most one away from that of the query's own place: the last key of the bucket at or before
 *   aligned i (or the bucket's first)
 *
 * Within a bucket positions ascend, so each of these is an interval of ranks. Neither of its ends ever decreases
 * from one sorted query to the next, which lets all of them be found in one walk, and attention skip rows by bisection.
 * Padding keys and padding queries come last. A query whose bucket has no key attends to nothing in that pass.
 *
 * A unit is one (pass, batch, kv head) with its group of query heads. Writes everything of theirs. O(N + M + buckets).
 * Sources: Kitaev et al. 2020 (Reformer: sorting and chunks, there with q = k); Child et al. 2019 (strided: by residue).
 */
export function sortPasses(t: SortTensors, a: PassesArgs, from: number, to: number): void {
  const group = a.heads / a.kvHeads
  for (let unit = from; unit < to; unit++) {
    const pass = a.passes[Math.floor(unit / (a.batch * a.kvHeads))]
    const b = Math.floor(unit / a.kvHeads) % a.batch
    const keyCount = t.kvLengths?.[b] ?? a.keys
    const queryCount = t.qLengths?.[b] ?? a.queries
    const shift = t.shifts?.[b] ?? a.shift
    const firstKey = unit * a.keys
    const starts = sortRows(t.keyOrder, t.keyRanks, firstKey, a.keys, keyCount, pass.buckets, j =>
      bucketOf(pass, t.kBuckets, firstKey, j, 0),
    )
    for (let member = 0; member < group; member++) {
      const firstQuery = (unit * group + member) * a.queries
      const bucket = (i: number) => bucketOf(pass, t.qBuckets, firstQuery, i, shift)
      sortRows(t.queryOrder, t.queryRanks, firstQuery, a.queries, queryCount, pass.buckets, bucket)
      const firstPosition = b * a.intervalStrides[0]
      findIntervals(t, a, pass, { firstKey, firstQuery, firstPosition, queryCount, shift, starts, bucket })
    }
  }
}

/** The bucket of position i, which stands at i + shift among the keys. */
function bucketOf(
  { by, buckets }: Pass,
  hashes: Int32Array | undefined,
  first: number,
  i: number,
  shift: number,
): number {
  if (by === 'whole') return 0
  if (by === 'hash') return hashes![first + i]
  return (((i + shift) % buckets) + buckets) % buckets
}

/** A counting sort of rows [0, live) by bucket, stable; the rest stay behind them. Returns each bucket's first rank. */
function sortRows(
  order: Int32Array,
  ranks: Int32Array,
  first: number,
  rows: number,
  live: number,
  buckets: number,
  bucket: (row: number) => number,
): Int32Array {
  const starts = new Int32Array(buckets + 1)
  for (let row = 0; row < live; row++) starts[bucket(row) + 1]++
  for (let each = 0; each < buckets; each++) starts[each + 1] += starts[each]
  const next = starts.slice()
  for (let row = 0; row < rows; row++) {
    const rank = row < live ? next[bucket(row)]++ : row
    order[first + rank] = row
    ranks[first + row] = rank
  }
  return starts
}

interface Head {
  firstKey: number
  firstQuery: number
  firstPosition: number
  queryCount: number
  shift: number
  starts: Int32Array
  bucket: (i: number) => number
}

function findIntervals(t: SortTensors, a: PassesArgs, pass: Pass, head: Head): void {
  const { firstKey, firstQuery, firstPosition, queryCount, shift, starts, bucket } = head
  const reach = pass.reach < 0 ? Number.POSITIVE_INFINITY : pass.reach
  let current = -1
  let [lo, hi, own] = [0, 0, 0]
  for (let rank = 0; rank < a.queries; rank++) {
    const into = 2 * (firstQuery + rank)
    if (rank >= queryCount) {
      t.intervals[into] = a.keys
      t.intervals[into + 1] = a.keys
      continue
    }
    const i = t.queryOrder[firstQuery + rank]
    const mine = bucket(i)
    if (mine !== current) {
      current = mine
      lo = hi = own = starts[mine]
    }
    const end = starts[mine + 1]
    const aligned = i + shift
    const from = Math.max(t.positions?.[2 * (firstPosition + i)] ?? 0, aligned - reach)
    const to = Math.min(t.positions?.[2 * (firstPosition + i) + 1] ?? a.keys, aligned + reach + 1)
    while (lo < end && t.keyOrder[firstKey + lo] < from) lo++
    while (hi < end && t.keyOrder[firstKey + hi] < to) hi++
    let [begin, stop] = [lo, hi]
    if (pass.chunk > 0 && end > starts[mine]) {
      while (own + 1 < end && t.keyOrder[firstKey + own + 1] <= aligned) own++
      const chunk = Math.floor(own / pass.chunk)
      begin = Math.max(begin, (chunk - 1) * pass.chunk)
      stop = Math.min(stop, (chunk + 2) * pass.chunk)
    }
    t.intervals[into] = begin
    t.intervals[into + 1] = Math.max(begin, stop)
  }
}

/**
 * The other passes' view of each pass's rows, so that a pair counts only in its first pass: for rank t of pass p and an
 * earlier pass e, earlierRanks = e's rank of p's key at t, earlierIntervals = e's interval of p's query at t; empty for
 * e ≥ p. Writes both for its unit, one (pass, batch, kv head) with its group.
 */
export function earlierPasses(
  t: Tensors<typeof op.earlierPasses>,
  a: PassesArgs,
  from: number,
  to: number,
): void {
  const group = a.heads / a.kvHeads
  const kvHeads = a.batch * a.kvHeads
  const others = a.passes.length - 1
  for (let unit = from; unit < to; unit++) {
    const pass = Math.floor(unit / kvHeads)
    const kvHead = unit % kvHeads
    for (let e = 0; e < others; e++) {
      const ranks = (unit * others + e) * a.keys
      const theirKeys = (e * kvHeads + kvHead) * a.keys
      for (let rank = 0; rank < a.keys; rank++) {
        t.earlierRanks[ranks + rank] = t.keyRanks[theirKeys + t.keyOrder[unit * a.keys + rank]]
      }
      for (let member = 0; member < group; member++) {
        const head = unit * group + member
        const into = 2 * (head * others + e) * a.queries
        if (e >= pass) {
          t.earlierIntervals.fill(0, into, into + 2 * a.queries)
          continue
        }
        const theirs = (e * kvHeads * group + kvHead * group + member) * a.queries
        for (let rank = 0; rank < a.queries; rank++) {
          const at = 2 * (theirs + t.queryRanks[theirs + t.queryOrder[head * a.queries + rank]])
          t.earlierIntervals[into + 2 * rank] = t.intervals[at]
          t.earlierIntervals[into + 2 * rank + 1] = t.intervals[at + 1]
        }
      }
    }
  }
}

/** mask[b, h, i, j] = 1 where any pass attends to the pair, else 0. A unit is one (batch, head); writes its mask. */
export function passesMask(t: Tensors<typeof op.passesMask>, a: PassesArgs, from: number, to: number): void {
  const group = a.heads / a.kvHeads
  t.mask.fill(0, from * a.queries * a.keys, to * a.queries * a.keys)
  for (let head = from; head < to; head++) {
    for (let pass = 0; pass < a.passes.length; pass++) {
      const rows = (pass * a.batch * a.heads + head) * a.queries
      const keys = (pass * a.batch * a.kvHeads + Math.floor(head / group)) * a.keys
      for (let i = 0; i < a.queries; i++) {
        const at = 2 * (rows + t.queryRanks[rows + i])
        const row = (head * a.queries + i) * a.keys
        for (let rank = t.intervals[at]; rank < t.intervals[at + 1]; rank++) {
          t.mask[row + t.keyOrder[keys + rank]] = 1
        }
      }
    }
  }
}
