/**
 * Which keys a row may attend to by its position: its interval [from, to), known before any score is. Whole blocks outside of
 * it are never computed.
 *
 * Both ends grow with the row (or stay), padding rows having [keys, keys): ranges of columns use that for speed, ranges
 * of rows rely on it.
 */
import { Call } from '../../../wasm/generated/attention'
import { MR } from '../../../wasm/assembly/lanes'
import { KEY_BLOCK, QUERY_TILE } from '../../../wasm/assembly/score-tile'

/** Where the intervals of a head's rows begin; 0 where every row may attend to all keys. */
export function intervalsOf(call: Call, b: i32, h: i32): usize {
  if (!call.intervals) return 0
  return call.intervals + ((<usize>b * call.intervalBatch + <usize>h * call.intervalHead) << 3)
}

/** What is added to a row's index to place it among the keys. */
export function shiftOf(call: Call, b: i32): i32 {
  return call.shifts ? load<i32>(call.shifts + (<usize>b << 2)) : call.shift
}

/** How much of a key block a tile's rows see. */
export const NOTHING: i32 = 0
export const PARTLY: i32 = 1
export const WHOLE: i32 = 2

/**
 * Writes the intervals of rows first … first + rows − 1 (0, 0 where a row sees nothing) and, at `common`, the
 * interval that all of them see. Returns the smallest interval that holds them all, its end in the upper 32 bits.
 */
export function rowIntervals(
  call: Call, b: i32, h: i32, first: i32, rows: i32, rowFrom: usize, rowTo: usize, common: usize,
): u64 {
  const head = intervalsOf(call, b, h)
  const own = head + (<usize>first << 3)
  let least = call.keys
  let most = 0
  let commonFrom = 0
  let commonTo = call.keys
  for (let r = 0; r < rows; ++r) {
    let from = 0
    let to = call.keys
    if (head) {
      from = load<i32>(own + (<usize>r << 3))
      to = load<i32>(own + (<usize>r << 3), 4)
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
  for (let group = 0; group * MR < QUERY_TILE; ++group) {
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
  return rangesOf(call, rows, firstKey, KEY_BLOCK, rowFrom, rowTo, common)
}

/**
 * For each group of six columns of the block starting at firstKey, the rows of the tile that see one of them: what
 * products along the columns need. Rows in between that see none have zeros there.
 */
export function columnRanges(call: Call, rows: i32, firstKey: i32, rowFrom: usize, rowTo: usize): void {
  memory.fill(call.columnRanges, 0, (KEY_BLOCK / MR) << 3)
  for (let r = 0; r < rows; ++r) {
    const from = max(load<i32>(rowFrom + (<usize>r << 2)) - firstKey, 0)
    const to = min(load<i32>(rowTo + (<usize>r << 2)) - firstKey, KEY_BLOCK)
    for (let group = from / MR; group * MR < to; ++group) {
      const range = call.columnRanges + (<usize>group << 3)
      if (load<i32>(range, 4) == 0) store<i32>(range, r)
      store<i32>(range, r + 1, 4)
    }
  }
}

/**
 * The rows of head h of batch b whose interval may meet keys [key, key + keys): from the first that ends beyond
 * `key` to the first that begins beyond the last key, which stands in the upper 32 bits. By bisection.
 */
export function visibleRows(call: Call, b: i32, h: i32, key: i32, keys: i32): u64 {
  const own = intervalsOf(call, b, h)
  if (!own) return <u64>call.queries << 32
  let first = 0
  let last = call.queries
  while (first < last) {
    const row = (first + last) >> 1
    if (load<i32>(own + (<usize>row << 3), 4) > key) last = row
    else first = row + 1
  }
  const begin = first
  last = call.queries
  while (first < last) {
    const row = (first + last) >> 1
    if (load<i32>(own + (<usize>row << 3)) >= key + keys) last = row
    else first = row + 1
  }
  return (<u64>last << 32) | <u64>begin
}

/** Every row group wants the whole block (of `keys` keys). */
export function fullRanges(call: Call, keys: i32): void {
  for (let group = 0; group * MR < QUERY_TILE; ++group) {
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
