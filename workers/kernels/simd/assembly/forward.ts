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
import { Sum, SumAll, exponentials, rowMaxima, writeConstants } from './exponentials'
import { BLOCK, MR, TILE, TILE_ROW, madd, sumLanes } from './lanes'
import { packPanels } from './pack'
import { Place, addBlockProduct, dotTile, isPlain, maskTile, onePack, packBlockRows, scaleOf } from './scores'
import { NOTHING, groupRanges, rowIntervals } from './visibility'

/** Bytes of one tile's row of per-row numbers. */
export const PER_TILE: usize = 96

/** How far scores may exceed what is subtracted from them before it is raised: e ≤ e⁸. */
const SLACK: f32 = 8

export function attentionForward(call: Call, place: Place, from: i32, to: i32): void {
  writeConstants(call)
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
export function enter(call: Call, place: Place, tile: i32): void {
  place.row = tile * TILE
  place.rows = min(TILE, call.queries - place.row)
}

function forwardTiles(call: Call, place: Place, first: i32, count: i32): void {
  const kRow = <usize>call.dimK << 2
  const vRow = <usize>call.dimV << 2
  const headRow = <usize>place.head * <usize>call.queries
  const k = call.k + <usize>place.kvHead * <usize>call.keys * kRow
  const v = call.v + <usize>place.kvHead * <usize>call.keys * vRow
  let least = call.keys
  let most = 0
  for (let t = 0; t < count; ++t) {
    enter(call, place, first + t)
    const lane = <usize>t * PER_TILE
    const common = call.common + (<usize>t << 3)
    const seen = rowIntervals(
      call, place.b, place.head, place.row, place.rows, call.rowFrom + lane, call.rowTo + lane, common,
    )
    least = min(least, <i32>seen)
    most = max(most, <i32>(seen >> 32))
    for (let r: usize = 0; r < PER_TILE; r += 4) {
      store<f32>(call.runningMax + lane + r, -Infinity)
    }
    memory.fill(call.runningSum + lane * 8, 0, PER_TILE * 8)
    if (call.entropy) memory.fill(call.runningMoment + lane * 8, 0, PER_TILE * 8)
    const at = headRow + <usize>place.row
    memory.fill(call.output + at * vRow, 0, <usize>place.rows * vRow)
  }

  for (place.key = (least / BLOCK) * BLOCK; place.key < most; place.key += BLOCK) {
    place.keys = min(BLOCK, call.keys - place.key)
    let packed = false
    for (let t = 0; t < count; ++t) {
      const lane = <usize>t * PER_TILE
      enter(call, place, first + t)
      const common = call.common + (<usize>t << 3)
      const seen = groupRanges(call, place.rows, place.key, call.rowFrom + lane, call.rowTo + lane, common)
      if (seen == NOTHING) continue
      const kBlock = k + <usize>place.key * kRow
      const vBlock = v + <usize>place.key * vRow
      if (!packed) {
        if (onePack(call, call.dimK)) packPanels(kBlock, kRow, place.keys, call.dimK, call.keyPack)
        packBlockRows(call, vBlock, call.valueRows, call.dimV, place.keys)
        packed = true
      }
      const at = headRow + <usize>place.row
      dotTile(call, call.q + at * kRow, place.rows, kBlock, place.keys, call.dimK, call.keyPack, call.tile, scaleOf(call))
      maskTile(call, place, call.rowFrom + lane, call.rowTo + lane, seen, false)
      softmaxTile(call, place, lane, call.output + at * vRow, isPlain(call, seen))
      const output = call.output + at * vRow
      if (call.careful) {
        attendedRowsProduct(call, call.tile, place.rows, place.keys, vBlock, call.dimV, output)
      } else {
        addBlockProduct(call, call.tile, place.rows, vBlock, call.valueRows, call.dimV, place.keys, output)
      }
    }
  }

  for (let t = 0; t < count; ++t) {
    enter(call, place, first + t)
    finish(call, place, <usize>t * PER_TILE, headRow + <usize>place.row)
  }
}

/** From scores to e = exp(s − m), updating m, l, t and O. */
function softmaxTile(call: Call, place: Place, lane: usize, output: usize, plain: bool): void {
  const rows = place.rows
  rowMaxima(call, call.tile, rows, call.tileMax)
  if (raise(call, lane)) rescale(call, rows, lane, output)
  if (call.entropy) {
    for (let r = 0; r < rows; ++r) {
      const range = call.ranges + (<usize>(r / MR) << 3)
      const shift = load<f32>(call.tileMax + (<usize>r << 2))
      const moment = call.runningMoment + lane * 8 + (<usize>r << 5)
      momentOfRow(call.tile + <usize>r * TILE_ROW, load<i32>(range), load<i32>(range, 4), shift, moment)
    }
  }
  const sums = call.runningSum + lane * 8
  if (plain) exponentials<SumAll>(call, call.tile, rows, call.tileMax, 0, sums)
  else exponentials<Sum>(call, call.tile, rows, call.tileMax, 0, sums)
  if (call.dropout) {
    for (let r = 0; r < rows; ++r) {
      const range = call.ranges + (<usize>(r / MR) << 3)
      const row = call.tile + <usize>r * TILE_ROW
      dropRow(call, place.head, place.row + r, place.key, row, load<i32>(range), load<i32>(range, 4))
    }
  }
}

/**
 * Raises m where the tile's maximum is more than 8 above it, and says whether it did: tileFactor then holds
 * a = exp(m before − m after). tileMax becomes what to subtract: m, or 0 where nothing was seen yet.
 */
function raise(call: Call, lane: usize): bool {
  const nothing = f32x4.splat(-Infinity)
  const slack = f32x4.splat(SLACK)
  let any = i32x4.splat(0)
  for (let r: usize = 0; r < PER_TILE; r += 16) {
    const before = v128.load(call.runningMax + lane + r)
    const most = v128.load(call.tileMax + r)
    const risen = f32x4.gt(most, f32x4.add(before, slack))
    const now = v128.bitselect(most, before, risen)
    any = v128.or(any, risen)
    v128.store(call.runningMax + lane + r, now)
    v128.store(call.tileFactor + r, before)
    v128.store(call.tileMax + r, v128.and(now, f32x4.ne(now, nothing)))
  }
  if (!v128.any_true(any)) return false
  for (let r: usize = 0; r < PER_TILE; r += 16) {
    const before = v128.load(call.tileFactor + r)
    const factor = exp(f32x4.sub(before, v128.load(call.tileMax + r)))
    // before the first block there is nothing to scale
    v128.store(call.tileFactor + r, v128.bitselect(f32x4.splat(1), factor, f32x4.eq(before, nothing)))
  }
  return true
}

/** l = a·l, t = a·(t + ln a·l), O = a·O for the rows whose m has risen. */
function rescale(call: Call, rows: i32, lane: usize, output: usize): void {
  const step = <usize>call.dimV << 2
  for (let r = 0; r < rows; ++r) {
    const factor = load<f32>(call.tileFactor + (<usize>r << 2))
    if (factor == 1) continue
    const sums = call.runningSum + lane * 8 + (<usize>r << 5)
    if (call.entropy) {
      // where a is 0 there is nothing to keep, and ln 0 must not meet it
      const fall = <f32>max(log(<f64>factor), -88)
      const moments = call.runningMoment + lane * 8 + (<usize>r << 5)
      for (let x: usize = 0; x < 32; x += 4) {
        store<f32>(moments + x, factor * (load<f32>(moments + x) + fall * load<f32>(sums + x)))
      }
    }
    scaleRow(sums, 8, factor)
    scaleRow(output + <usize>r * step, call.dimV, factor)
  }
}

/** moment[8] += Σ e·(s − shift), lane by lane, with e·(−∞) = 0. */
function momentOfRow(row: usize, begin: i32, end: i32, shift: f32, moment: usize): void {
  const m = f32x4.splat(shift)
  const least = f32x4.splat(-88)
  let s0 = v128.load(moment)
  let s1 = v128.load(moment, 16)
  let p = row + (<usize>begin << 2)
  for (let j = begin; j < end; j += 8) {
    const x0 = f32x4.sub(v128.load(p), m)
    const x1 = f32x4.sub(v128.load(p, 16), m)
    s0 = madd(exp(x0), f32x4.pmax(x0, least), s0)
    s1 = madd(exp(x1), f32x4.pmax(x1, least), s1)
    p += 32
  }
  v128.store(moment, s1, 16)
  v128.store(moment, s0)
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
    const lanes = lane * 8 + (r << 5)
    const sum = sumLanes(v128.load(call.runningSum + lanes), v128.load(call.runningSum + lanes, 16))
    let logsumexp: f64 = -Infinity
    let entropy: f64 = 0
    if (sum != 0) {
      const l = <f64>sum
      const logSum = log(l)
      logsumexp = <f64>load<f32>(call.runningMax + lane + (r << 2)) + logSum
      if (call.entropy) {
        const moments = call.runningMoment + lanes
        entropy = logSum - <f64>sumLanes(v128.load(moments), v128.load(moments, 16)) / l
      }
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
