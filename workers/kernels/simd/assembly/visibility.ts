/**
 * Which keys a row may attend to by its position: padding, causal, window and the row's own interval all allow an
 * interval, and the intersection [from, to) of the intervals is known before any score is. Whole blocks outside of it are never computed.
 *
 * For the rows of a batch that are no padding, both ends grow with the row (or stay): ranges of columns use that for
 * speed, ranges of rows rely on it.
 */
import { Call } from './call'
import { BLOCK, MR, TILE } from './lanes'

/** Rows and keys of batch b that are no padding. */
export function queryCount(call: Call, b: i32): i32 {
  return call.qLengths ? load<i32>(call.qLengths + (<usize>b << 2)) : call.queries
}

export function keyCount(call: Call, b: i32): i32 {
  return call.kvLengths ? load<i32>(call.kvLengths + (<usize>b << 2)) : call.keys
}

/** What is added to a row's index to place it among the keys. */
export function alignmentShift(call: Call, b: i32): i32 {
  return call.bottomRight ? keyCount(call, b) - queryCount(call, b) : call.pastKeys
}

/** How much of a key block a tile's rows see. */
export const NOTHING: i32 = 0
export const PARTLY: i32 = 1
export const WHOLE: i32 = 2

/**
 * Writes the intervals of rows first … first + rows − 1 of batch b (0, 0 where a row sees nothing) and, at `common`, the
 * interval that all of them see. Returns the smallest interval that holds them all, its end in the upper 32 bits.
 */
export function rowIntervals(
  call: Call, b: i32, head: i32, first: i32, rows: i32, rowFrom: usize, rowTo: usize, common: usize,
): u64 {
  const live = queryCount(call, b)
  const limit = min(keyCount(call, b), call.keys)
  const shift = alignmentShift(call, b)
  const own = call.intervals + ((<usize>head * <usize>call.queries + <usize>first) << 3)
  let least = call.keys
  let most = 0
  let commonFrom = 0
  let commonTo = call.keys
  for (let r = 0; r < rows; ++r) {
    const aligned = first + r + shift
    let from = 0
    let to = first + r < live ? limit : 0
    if (call.causal) to = min(to, aligned + 1)
    if (call.windowLeft >= 0) from = max(from, aligned - call.windowLeft)
    if (call.windowRight >= 0) to = min(to, aligned + call.windowRight + 1)
    if (call.intervals) {
      from = max(from, load<i32>(own + (<usize>r << 3)))
      to = min(to, load<i32>(own + (<usize>r << 3), 4))
    }
    if (from >= to) {
      from = 0
      to = 0
    } else {
      least = min(least, from)
      most = max(most, to)
    }
    store<i32>(rowFrom + (<usize>r << 2), from)
    store<i32>(rowTo + (<usize>r << 2), to)
    commonFrom = max(commonFrom, from)
    commonTo = min(commonTo, to)
  }
  store<i32>(common, commonFrom)
  store<i32>(common, commonTo, 4)
  return (<u64>most << 32) | <u64>least
}

/**
 * For each group of six rows, the columns of the `block` keys from firstKey on that one of its rows sees (`seen`), and widened
 * to multiples of 16 (`ranges`): what need be computed. Says how much that is.
 */
export function rangesOf(
  call: Call, rows: i32, firstKey: i32, block: i32, rowFrom: usize, rowTo: usize, common: usize,
): i32 {
  if (load<i32>(common) <= firstKey && firstKey + block <= load<i32>(common, 4)) {
    fullRanges(call, block)
    return WHOLE
  }
  let much = NOTHING
  for (let group = 0; group * MR < TILE; ++group) {
    let begin = block
    let end = 0
    for (let r = group * MR; r < min(rows, group * MR + MR); ++r) {
      const from = max(load<i32>(rowFrom + (<usize>r << 2)) - firstKey, 0)
      const to = min(load<i32>(rowTo + (<usize>r << 2)) - firstKey, block)
      if (from >= to) continue
      begin = min(begin, from)
      end = max(end, to)
    }
    if (begin < end) much = PARTLY
    else begin = end = 0
    setRange(call, group, begin, end)
  }
  return much
}

/** The same for a block of the kernels other than the forward pass. */
export function groupRanges(call: Call, rows: i32, firstKey: i32, rowFrom: usize, rowTo: usize, common: usize): i32 {
  return rangesOf(call, rows, firstKey, BLOCK, rowFrom, rowTo, common)
}

/**
 * For each group of six columns of the block starting at firstKey, the rows of the tile that see one of them: what
 * products along the columns need. Rows in between that see none have zeros there.
 */
export function columnRanges(call: Call, rows: i32, firstKey: i32, rowFrom: usize, rowTo: usize): void {
  memory.fill(call.columnRanges, 0, (BLOCK / MR) << 3)
  for (let r = 0; r < rows; ++r) {
    const from = max(load<i32>(rowFrom + (<usize>r << 2)) - firstKey, 0)
    const to = min(load<i32>(rowTo + (<usize>r << 2)) - firstKey, BLOCK)
    for (let group = from / MR; group * MR < to; ++group) {
      const range = call.columnRanges + (<usize>group << 3)
      if (load<i32>(range, 4) == 0) store<i32>(range, r)
      store<i32>(range, r + 1, 4)
    }
  }
}

/**
 * The rows of head `head` (of batch b) whose interval may meet keys [key, key + keys): from the first that ends beyond
 * `key` to the first that begins beyond the last key, which stands in the upper 32 bits. By bisection.
 */
export function visibleRows(call: Call, b: i32, head: i32, key: i32, keys: i32): u64 {
  const live = min(queryCount(call, b), call.queries)
  const limit = min(keyCount(call, b), call.keys)
  const shift = alignmentShift(call, b)
  const own = call.intervals + ((<usize>head * <usize>call.queries) << 3)
  let first = 0
  let last = live
  while (first < last) {
    const row = (first + last) >> 1
    let to = limit
    if (call.causal) to = min(to, row + shift + 1)
    if (call.windowRight >= 0) to = min(to, row + shift + call.windowRight + 1)
    if (call.intervals) to = min(to, load<i32>(own + (<usize>row << 3), 4))
    if (to > key) last = row
    else first = row + 1
  }
  const begin = first
  last = live
  while (first < last) {
    const row = (first + last) >> 1
    let from = 0
    if (call.windowLeft >= 0) from = max(from, row + shift - call.windowLeft)
    if (call.intervals) from = max(from, load<i32>(own + (<usize>row << 3)))
    if (from >= key + keys) last = row
    else first = row + 1
  }
  return (<u64>last << 32) | <u64>begin
}

/** Every row group wants the whole block (of `keys` keys). */
export function fullRanges(call: Call, keys: i32): void {
  for (let group = 0; group * MR < TILE; ++group) {
    setRange(call, group, 0, keys)
  }
}

function setRange(call: Call, group: i32, begin: i32, end: i32): void {
  const at = <usize>group << 3
  store<i32>(call.seen + at, begin)
  store<i32>(call.seen + at, end, 4)
  store<i32>(call.ranges + at, begin & ~15)
  store<i32>(call.ranges + at, (end + 15) & ~15, 4)
}
