/**
 * output = softmax(masked scores)·v for query tiles, with an online softmax: no more than a 24×96 tile of scores exists.
 *
 * For each row, over its key blocks in ascending order, with running maximum m, sum l and (for the entropy) moment t:
 *   m' = max(m, max s)   a = exp(m − m')   e = exp(s − m')
 *   l = a·l + Σ e        t = a·(t + (m − m')·l) + Σ e·(s − m')        O = a·O + e·V
 * and at the end  output = O/l,  logsumexp = m + ln l,  entropy = ln l − t/l.
 *
 * Hazards: a row that has seen nothing yet has m = −∞, and −∞ − (−∞) is NaN: 0 stands in for such a maximum, so that
 * e = exp(−∞) = 0. A NaN score does not become the maximum, but its e is NaN, and so are l and the row.
 * Which blocks a tile goes through, and in which order, depends on the tile alone: any cut of the range gives the same
 * bits. Tiles that run together only share the packed keys.
 * Writes output (where O is accumulated in place), logsumexp, entropy.
 * Sources: Milakov & Gimelshein 2018 (online softmax); Dao 2023 (FlashAttention-2).
 */
import { Call } from './call'
import { attendedRowsProduct } from './careful'
import { dropRow } from './dropout'
import { exp, log } from './elementary'
import { BLOCK, MR, TILE, TILE_ROW, madd, sumLanes } from './lanes'
import { packEdge, packPanels, packTransposed } from './pack'
import { Rows, product } from './product'
import { Place, dotTile, maskTile, onePack, oneOf, scaleOf } from './scores'
import { groupRanges, rowIntervals } from './visibility'

/** Bytes of one tile's row of per-row numbers. */
const PER_TILE: usize = 96

export function attentionForward(call: Call, place: Place, from: i32, to: i32): void {
  const tiles = (call.queries + TILE - 1) / TILE
  for (let unit = from; unit < to; ) {
    const head = unit / tiles
    const first = unit - head * tiles
    const count = min(min(to - unit, tiles - first), call.tilesTogether)
    place.head = head
    place.b = head / call.heads
    place.h = head % call.heads
    place.kvHead = place.b * call.kvHeads + place.h / (call.heads / call.kvHeads)
    forwardTiles(call, place, first, count)
    unit += count
  }
}

/** Rows of tile `tile`. */
// @ts-ignore: decorator
@inline
function enter(call: Call, place: Place, tile: i32): void {
  place.row = tile * TILE
  place.rows = min(TILE, call.queries - place.row)
}

function forwardTiles(call: Call, place: Place, first: i32, count: i32): void {
  const kRow = <usize>call.dimK << 2
  const vRow = <usize>call.dimV << 2
  const headRow = <usize>place.head * <usize>call.queries
  const k = call.k + <usize>place.kvHead * <usize>call.keys * kRow
  const v = call.v + <usize>place.kvHead * <usize>call.keys * vRow
  const packedTile = <usize>call.depth * 96
  let least = call.keys
  let most = 0
  for (let t = 0; t < count; ++t) {
    enter(call, place, first + t)
    const lane = <usize>t * PER_TILE
    const seen = rowIntervals(call, place.b, place.head, place.row, place.rows, call.rowFrom + lane, call.rowTo + lane)
    least = min(least, <i32>seen)
    most = max(most, <i32>(seen >> 32))
    for (let r: usize = 0; r < PER_TILE; r += 4) {
      store<f32>(call.runningMax + lane + r, -Infinity)
      store<f32>(call.runningSum + lane + r, 0)
      store<f32>(call.runningMoment + lane + r, 0)
    }
    const at = headRow + <usize>place.row
    memory.fill(call.output + at * vRow, 0, <usize>place.rows * vRow)
    if (onePack(call, call.dimK)) {
      packTransposed(call.q + at * kRow, kRow, place.rows, call.dimK, call.queryPack + <usize>t * packedTile, TILE)
    }
  }

  for (place.key = (least / BLOCK) * BLOCK; place.key < most; place.key += BLOCK) {
    place.keys = min(BLOCK, call.keys - place.key)
    let packed = false
    for (let t = 0; t < count; ++t) {
      const lane = <usize>t * PER_TILE
      enter(call, place, first + t)
      groupRanges(call, place.rows, place.key, call.rowFrom + lane, call.rowTo + lane)
      if (!anythingSeen(call)) continue
      const kBlock = k + <usize>place.key * kRow
      const vBlock = v + <usize>place.key * vRow
      if (!packed) {
        if (onePack(call, call.dimK)) packPanels(kBlock, kRow, place.keys, call.dimK, call.keyPack)
        packEdge(vBlock, place.keys, call.dimV, call.valueEdge)
        packed = true
      }
      const at = headRow + <usize>place.row
      const queryPack = call.queryPack + <usize>t * packedTile
      dotTile(
        call, call.q + at * kRow, place.rows, kBlock, place.keys, call.dimK,
        queryPack, call.keyPack, call.tile, scaleOf(call),
      )
      maskTile(call, place, call.rowFrom + lane, call.rowTo + lane, false)
      softmaxTile(call, place, lane)
      const output = call.output + at * vRow
      rescale(call, place.rows, output)
      if (call.careful) {
        attendedRowsProduct(call, call.tile, place.rows, place.keys, vBlock, call.dimV, output)
      } else {
        product<Rows>(
          call.tile, 4, place.rows, vBlock, vRow, call.valueEdge, call.dimV, place.keys,
          call.ranges, output, vRow, call.spare, oneOf(call),
        )
      }
    }
  }

  for (let t = 0; t < count; ++t) {
    enter(call, place, first + t)
    finish(call, place, <usize>t * PER_TILE, headRow + <usize>place.row)
  }
}

export function anythingSeen(call: Call): bool {
  for (let at: usize = 0; at < 32; at += 8) if (load<i32>(call.ranges + at, 4)) return true
  return false
}

/** From scores to e = exp(s − m), updating m, l and t; leaves the factors a in tileFactor. */
function softmaxTile(call: Call, place: Place, lane: usize): void {
  const tile = call.tile
  const tileMax = call.tileMax
  for (let r = 0; r < place.rows; ++r) {
    const range = call.ranges + (<usize>(r / MR) << 3)
    const at = <usize>r * TILE_ROW
    store<f32>(tileMax + (<usize>r << 2), maxOfRow(tile + at, load<i32>(range), load<i32>(range, 4), call.spare))
  }
  for (let r = place.rows; r < TILE; ++r) store<f32>(tileMax + (<usize>r << 2), -Infinity)
  advance(call, lane)
  for (let r = 0; r < place.rows; ++r) {
    const range = call.ranges + (<usize>(r / MR) << 3)
    const begin = load<i32>(range)
    const end = load<i32>(range, 4)
    if (begin >= end) continue
    const row = tile + <usize>r * TILE_ROW
    const shift = load<f32>(tileMax + (<usize>r << 2))
    const sum = call.runningSum + lane + (<usize>r << 2)
    if (call.entropy) {
      const moment = call.runningMoment + lane + (<usize>r << 2)
      store<f32>(moment, load<f32>(moment) + momentOfRow(row, begin, end, shift))
    }
    store<f32>(sum, load<f32>(sum) + expRow(row, begin, end, shift, call.spare))
    if (call.dropout) dropRow(call, place.head, place.row + r, place.key, row, begin, end)
  }
}

/** m, a, and what a does to l and t, for the 24 rows; the tile's maxima become the safe maximum to subtract. */
function advance(call: Call, lane: usize): void {
  const nothing = f32x4.splat(-Infinity)
  for (let r: usize = 0; r < PER_TILE; r += 16) {
    const before = v128.load(call.runningMax + lane + r)
    const now = f32x4.pmax(before, v128.load(call.tileMax + r))
    const seen = f32x4.ne(now, nothing)
    const safe = v128.and(now, seen)
    const fall = f32x4.sub(before, safe)
    const factor = exp(fall)
    const sum = v128.load(call.runningSum + lane + r)
    const moment = v128.load(call.runningMoment + lane + r)
    // where factor is 0 the fall may be −∞: what it multiplies is forgotten anyway
    const fallen = f32x4.mul(f32x4.pmax(fall, f32x4.splat(-88)), sum)
    v128.store(call.runningMoment + lane + r, f32x4.mul(factor, f32x4.add(moment, fallen)))
    v128.store(call.runningSum + lane + r, f32x4.mul(factor, sum))
    v128.store(call.runningMax + lane + r, now)
    v128.store(call.tileMax + r, safe)
    v128.store(call.tileFactor + r, factor)
  }
}

function maxOfRow(row: usize, begin: i32, end: i32, spare: usize): f32 {
  let m0 = f32x4.splat(-Infinity)
  let m1 = m0
  let p = row + (<usize>begin << 2)
  for (let j = begin; j < end; j += 8) {
    m0 = f32x4.pmax(m0, v128.load(p))
    m1 = f32x4.pmax(m1, v128.load(p, 16))
    p += 32
  }
  // through memory, because V8 fuses a pair of registers only on its way to a pair of stores
  v128.store(spare, m0)
  v128.store(spare, m1, 16)
  // no comparison of scalars: V8 makes a branch of it, and nobody can predict which lane is the largest
  let m = f32x4.pmax(v128.load(spare), v128.load(spare, 16))
  m = f32x4.pmax(m, v128.shuffle<f32>(m, m, 2, 3, 0, 1))
  m = f32x4.pmax(m, v128.shuffle<f32>(m, m, 1, 0, 3, 2))
  return f32x4.extract_lane(m, 0)
}

/** row = exp(row − shift); returns the sum. */
function expRow(row: usize, begin: i32, end: i32, shift: f32, spare: usize): f32 {
  const m = f32x4.splat(shift)
  let s0 = f32x4.splat(0)
  let s1 = f32x4.splat(0)
  let p = row + (<usize>begin << 2)
  for (let j = begin; j < end; j += 8) {
    const e0 = exp(f32x4.sub(v128.load(p), m))
    const e1 = exp(f32x4.sub(v128.load(p, 16), m))
    v128.store(p, e0)
    v128.store(p, e1, 16)
    s0 = f32x4.add(s0, e0)
    s1 = f32x4.add(s1, e1)
    p += 32
  }
  v128.store(spare, s0)
  v128.store(spare, s1, 16)
  return sumLanes(v128.load(spare), v128.load(spare, 16))
}

/** Σ e·(s − shift), with e·(−∞) = 0. */
function momentOfRow(row: usize, begin: i32, end: i32, shift: f32): f32 {
  const m = f32x4.splat(shift)
  const least = f32x4.splat(-88)
  let s0 = f32x4.splat(0)
  let s1 = f32x4.splat(0)
  let p = row + (<usize>begin << 2)
  for (let j = begin; j < end; j += 8) {
    const x0 = f32x4.sub(v128.load(p), m)
    const x1 = f32x4.sub(v128.load(p, 16), m)
    s0 = madd(exp(x0), f32x4.pmax(x0, least), s0)
    s1 = madd(exp(x1), f32x4.pmax(x1, least), s1)
    p += 32
  }
  return sumLanes(s0, s1)
}

/** O = a·O for the rows whose maximum has risen. */
function rescale(call: Call, rows: i32, output: usize): void {
  for (let r = 0; r < rows; ++r) {
    const factor = load<f32>(call.tileFactor + (<usize>r << 2))
    if (factor != 1) scaleRow(output + <usize>r * (<usize>call.dimV << 2), call.dimV, factor)
  }
}

function scaleRow(row: usize, dim: i32, factor: f32): void {
  const f = f32x4.splat(factor)
  let d = dim
  for (; d >= 8; d -= 8) {
    const s0 = f32x4.mul(v128.load(row), f)
    const s1 = f32x4.mul(v128.load(row, 16), f)
    v128.store(row, s0)
    v128.store(row, s1, 16)
    row += 32
  }
  for (; d > 0; --d) {
    store<f32>(row, load<f32>(row) * factor)
    row += 4
  }
}

/** O/l, m + ln l, ln l − t/l; zeros, −∞ and 0 where nothing was attended. */
function finish(call: Call, place: Place, lane: usize, at: usize): void {
  for (let r: usize = 0; r < <usize>place.rows; ++r) {
    const sum = load<f32>(call.runningSum + lane + (r << 2))
    let logsumexp: f64 = -Infinity
    let entropy: f64 = 0
    if (sum != 0) {
      const l = <f64>sum
      const logSum = log(l)
      logsumexp = <f64>load<f32>(call.runningMax + lane + (r << 2)) + logSum
      entropy = logSum - <f64>load<f32>(call.runningMoment + lane + (r << 2)) / l
      divideRow(call.output + (at + r) * (<usize>call.dimV << 2), call.dimV, sum)
    }
    store<f64>(call.logsumexp + ((at + r) << 3), logsumexp)
    if (call.entropy) store<f32>(call.entropy + ((at + r) << 2), <f32>entropy)
  }
}

function divideRow(row: usize, dim: i32, divisor: f32): void {
  const f = f32x4.splat(divisor)
  let d = dim
  for (; d >= 8; d -= 8) {
    const s0 = f32x4.div(v128.load(row), f)
    const s1 = f32x4.div(v128.load(row, 16), f)
    v128.store(row, s0)
    v128.store(row, s1, 16)
    row += 32
  }
  for (; d > 0; --d) {
    store<f32>(row, load<f32>(row) / divisor)
    row += 4
  }
}
