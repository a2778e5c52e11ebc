/**
 * From scale·q·k to what the softmax sees: softcap, ALiBi, biases by distance, masks, and −∞ where not attended.
 *
 * Hazard: a masked score may be NaN or ∞ (what stands behind a mask may be anything), so it is replaced by −∞ with a
 * select, never by adding −∞.
 */
import { Call, MASK_KIND_BOOL } from '../../../wasm/generated/attention'
import { tanh } from '../../../wasm/assembly/elementary'
import { MR } from '../../../wasm/assembly/lanes'
import { FORWARD_BLOCK, QUERY_TILE, TILE_ROW, fill } from '../../../wasm/assembly/score-tile'
import { Place } from './place'
import { WHOLE, shiftOf } from './visibility'

/** Whether scale·q·k is all there is to the scores of a block of which the rows see as much as `seen` says. */
export function isPlain(call: Call, place: Place, seen: i32): bool {
  return (
    seen == WHOLE && !(call.softcap > 0) && !call.slopes && !call.distanceBiases && !call.maskKind && !call.earlier && !call.nonFinite &&
    !isMixed(call, place)
  )
}

/** Whether intervals hold keys of segments other than the row's own. */
function isMixed(call: Call, place: Place): bool {
  return call.mixedSegments != 0 && load<i32>(call.mixedSegments + (<usize>place.b << 2)) != 0
}

/**
 * From scale·q·k to what the softmax sees, in place, within `ranges`, of which the rows see as much as `seen` says.
 * `keepTanh` writes tanhTile too.
 */
export function maskTile(call: Call, place: Place, rowFrom: usize, rowTo: usize, seen: i32, keepTanh: bool): void {
  if (isPlain(call, place, seen)) return
  const mixed = isMixed(call, place)
  for (let r = 0; r < place.rows; ++r) {
    const range = call.ranges + (<usize>(r / MR) << 3)
    const begin = load<i32>(range)
    const end = load<i32>(range, 4)
    const row = call.tile + <usize>r * TILE_ROW
    if (call.softcap > 0) capRow(row, begin, end, call.softcap, keepTanh ? call.tanhTile + <usize>r * TILE_ROW : 0)
    if (call.slopes) alibiRow(call, place, r, row, begin, end)
    if (call.distanceBiases) {
      const column = place.key - (place.row + r + shiftOf(call, place.b)) - call.firstDistance
      const biases = call.distanceBiases + (<usize>(place.h * call.distances + column) << 2)
      floatMaskRow(biases, 1, row, begin, min(end, place.keys))
    }
    if (call.maskKind) maskRow(call, place, r, row, begin, min(end, place.keys))
    const from = load<i32>(rowFrom + (<usize>r << 2)) - place.key
    const to = load<i32>(rowTo + (<usize>r << 2)) - place.key
    fill(row, begin, min(from, end), -Infinity)
    maskFrom(row, begin, max(to, begin), end)
    for (let e = 0; e < call.earlier; ++e) maskEarlier(call, place, r, e, row, begin, min(end, place.keys))
    if (mixed) maskSegments(call, place, r, row, begin, min(end, place.keys))
  }
  if (call.nonFinite) noteAttended(call, place.rows)
}

/**
 * row[to … end) = −∞, begin ≤ to. At least the last 32 columns are gone through by comparison: where rows end one after the
 * other, as under a causal mask, nobody could predict how many columns there are to fill.
 */
function maskFrom(row: usize, begin: i32, to: i32, end: i32): void {
  if (to >= end) return
  const nothing = f32x4.splat(-Infinity)
  const first = i32x4.splat(to)
  let column = max(begin, min(to & ~15, end - 32))
  let j = i32x4.add(i32x4.splat(column), i32x4(0, 1, 2, 3))
  for (; column < end; column += 4) {
    const at = row + (<usize>column << 2)
    v128.store(at, v128.bitselect(nothing, v128.load(at), i32x4.ge_s(j, first)))
    j = i32x4.add(j, i32x4.splat(4))
  }
}

function capRow(row: usize, begin: i32, end: i32, cap: f32, tanhRow: usize): void {
  const c = f32x4.splat(cap)
  const into = tanhRow ? tanhRow : row
  // always two registers at a time, for V8 to fuse them; here and below
  for (let j = <usize>begin << 2, last = <usize>end << 2; j < last; j += 32) {
    const t0 = tanh(f32x4.div(v128.load(row + j), c))
    const t1 = tanh(f32x4.div(v128.load(row + j, 16), c))
    v128.store(into + j, t1, 16)
    v128.store(into + j, t0)
    const s0 = f32x4.mul(t0, c)
    const s1 = f32x4.mul(t1, c)
    v128.store(row + j, s1, 16)
    v128.store(row + j, s0)
  }
}

/** s + bias, and −∞ where the bias is −∞, whatever s is. */
// @ts-ignore: decorator
@inline
function biased(s: v128, bias: v128): v128 {
  const nothing = f32x4.splat(-Infinity)
  return v128.bitselect(nothing, f32x4.add(s, bias), f32x4.eq(bias, nothing))
}

/** s −= slope·|aligned i − j| */
function alibiRow(call: Call, place: Place, r: i32, row: usize, begin: i32, end: i32): void {
  const aligned = f32x4.splat(<f32>(place.row + r + shiftOf(call, place.b)))
  const slope = f32x4.splat(-load<f32>(call.slopes + (<usize>place.h << 2)))
  let key0 = f32x4.convert_i32x4_s(i32x4.add(i32x4.splat(place.key + begin), i32x4(0, 1, 2, 3)))
  let key1 = f32x4.add(key0, f32x4.splat(4))
  for (let j = <usize>begin << 2, last = <usize>end << 2; j < last; j += 32) {
    const s0 = biased(v128.load(row + j), f32x4.mul(slope, f32x4.abs(f32x4.sub(aligned, key0))))
    const s1 = biased(v128.load(row + j, 16), f32x4.mul(slope, f32x4.abs(f32x4.sub(aligned, key1))))
    v128.store(row + j, s1, 16)
    v128.store(row + j, s0)
    key0 = f32x4.add(key0, f32x4.splat(8))
    key1 = f32x4.add(key1, f32x4.splat(8))
  }
}

/** Where row r of the tile begins in the mask, counted in elements. */
export function maskRowStart(call: Call, place: Place, r: i32): usize {
  return (
    <usize>place.b * call.maskStrideBatch +
    <usize>place.h * call.maskStrideHead +
    <usize>(place.row + r) * call.maskStrideQuery +
    <usize>place.key * call.maskStrideKey
  )
}

function maskRow(call: Call, place: Place, r: i32, row: usize, begin: i32, end: i32): void {
  const start = maskRowStart(call, place, r)
  if (call.maskKind == MASK_KIND_BOOL) boolMaskRow(call.mask + start, call.maskStrideKey, row, begin, end)
  else floatMaskRow(call.mask + (start << 2), call.maskStrideKey, row, begin, end)
}

/** The mask is read only where it has elements: eight at a time, then one by one. */
function floatMaskRow(mask: usize, stride: usize, row: usize, begin: i32, end: i32): void {
  let j = begin
  if (stride == 1) {
    for (; j + 8 <= end; j += 8) {
      const at = <usize>j << 2
      const s0 = biased(v128.load(row + at), v128.load(mask + at))
      const s1 = biased(v128.load(row + at, 16), v128.load(mask + at, 16))
      v128.store(row + at, s1, 16)
      v128.store(row + at, s0)
    }
  }
  for (; j < end; ++j) {
    const at = row + (<usize>j << 2)
    const bias = load<f32>(mask + ((<usize>j * stride) << 2))
    store<f32>(at, bias == -Infinity ? bias : load<f32>(at) + bias)
  }
}

function boolMaskRow(mask: usize, stride: usize, row: usize, begin: i32, end: i32): void {
  const nothing = f32x4.splat(-Infinity)
  let j = begin
  if (stride == 1) {
    for (; j + 4 <= end; j += 4) {
      const at = row + (<usize>j << 2)
      const masked = i8x16.eq(v128.load32_zero(mask + <usize>j), i8x16.splat(0))
      const lanes = i32x4.extend_low_i16x8_s(i16x8.extend_low_i8x16_s(masked))
      v128.store(at, v128.bitselect(nothing, v128.load(at), lanes))
    }
  }
  for (; j < end; ++j) {
    if (load<u8>(mask + <usize>j * stride) == 0) store<f32>(row + (<usize>j << 2), -Infinity)
  }
}

/** −∞ where the pair has been counted in pass e: the key's rank there lies in the row's interval there. */
function maskEarlier(call: Call, place: Place, r: i32, e: i32, row: usize, begin: i32, end: i32): void {
  const passes = <usize>call.earlier
  const at = (<usize>place.head * passes + <usize>e) * <usize>call.queries + <usize>(place.row + r)
  const from = load<i32>(call.earlierIntervals + (at << 3))
  const to = load<i32>(call.earlierIntervals + (at << 3), 4)
  if (from >= to) return
  const firstKey = (<usize>place.kvHead * passes + <usize>e) * <usize>call.keys + <usize>place.key
  const ranks = call.earlierRanks + (firstKey << 2)
  const nothing = f32x4.splat(-Infinity)
  // one comparison for both ends: what lies below `from` is huge as an unsigned number
  const length = i32x4.splat(to - from)
  const least = i32x4.splat(from)
  let j = begin
  for (; j + 4 <= end; j += 4) {
    const offset = <usize>j << 2
    const counted = i32x4.lt_u(i32x4.sub(v128.load(ranks + offset), least), length)
    v128.store(row + offset, v128.bitselect(nothing, v128.load(row + offset), counted))
  }
  for (; j < end; ++j) {
    const offset = <usize>j << 2
    if (<u32>(load<i32>(ranks + offset) - from) < <u32>(to - from)) store<f32>(row + offset, -Infinity)
  }
}

/** −∞ where the key is of another segment than the row, and everywhere in a row that is padding. */
function maskSegments(call: Call, place: Place, r: i32, row: usize, begin: i32, end: i32): void {
  const own = load<i32>(call.qSegments + ((<usize>place.b * call.queries + <usize>(place.row + r)) << 2))
  if (own < 0) {
    fill(row, begin, end, -Infinity)
    return
  }
  const ids = call.kvSegments + ((<usize>place.b * call.keys + <usize>place.key) << 2)
  const nothing = f32x4.splat(-Infinity)
  const same = i32x4.splat(own)
  let j = begin
  for (; j + 4 <= end; j += 4) {
    const at = <usize>j << 2
    v128.store(row + at, v128.bitselect(v128.load(row + at), nothing, i32x4.eq(v128.load(ids + at), same)))
  }
  for (; j < end; ++j) {
    const at = <usize>j << 2
    if (load<i32>(ids + at) != own) store<f32>(row + at, -Infinity)
  }
}

/** Where inputs are non-finite: remembers which pairs are attended, before the scores turn into weights. */
function noteAttended(call: Call, rows: i32): void {
  memory.fill(call.attended, 0, QUERY_TILE * FORWARD_BLOCK)
  for (let r = 0; r < rows; ++r) {
    const range = call.ranges + (<usize>(r / MR) << 3)
    for (let j = load<i32>(range), end = load<i32>(range, 4); j < end; ++j) {
      const s = load<f32>(call.tile + <usize>r * TILE_ROW + (<usize>j << 2))
      store<u8>(call.attended + <usize>(r * FORWARD_BLOCK + j), <u8>(s != -Infinity))
    }
  }
}
