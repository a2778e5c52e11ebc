/**
 * The online softmax of a query tile: what its rows carry from key block to key block.
 *
 * With what is subtracted m, sum l and (for the entropy) moment t of each row:
 *   m' = max s where that exceeds m by more than 8, otherwise m       a = exp(m − m')       e = exp(s − m')
 *   l = a·l + Σ e        t = a·(t + (m − m')·l) + Σ e·(s − m')        O = a·O + e·V
 * and at the end  output = O/l,  denominator = (m, l),  logsumexp = m + ln l,  entropy = ln l − t/l.
 *
 * m need not be the maximum, only near enough for e not to overflow: e ≤ e⁸ = 2981. So O, l and t are seldom scaled, and
 * l and t stay apart in eight lanes until the end. All of it is a row's own: nothing depends on the other rows of its tile, nor
 * on keys that it does not attend to, whose e is 0 (blocks and lanes count from key 0).
 * Hazards: a row that has seen nothing yet has m = −∞, and −∞ − (−∞) is NaN: 0 stands in for such an m, so that
 * e = exp(−∞) = 0. A NaN score may not become m, but its e is NaN, and so are l and the row. O may overflow where O/l does not:
 * a row that is not finite is formed again by large-values.ts.
 * Sources: Milakov & Gimelshein 2018 (online softmax); Dao 2023 (FlashAttention-2); FlashAttention-4 (scaling only
 * when it must).
 */
import { Call } from '../../../wasm/generated/attention'
import { dropRow } from './dropout'
import { exp, log } from '../../../wasm/assembly/elementary'
import { AnyValue, Finite, Moment, Small, SmallWithin, Sum, exponentials, rowMaxima } from './exponentials'
import { MR, madd, sumLanes } from '../../../wasm/assembly/lanes'
import { TILE_ROW, fill } from '../../../wasm/assembly/score-tile'
import { outputOf, queryRow } from './rows'
import { Place } from './place'

/** Bytes of one tile's row of per-row numbers. */
export const PER_TILE: usize = 96

/** How far scores may exceed what is subtracted from them before it is raised: e ≤ e⁸. */
const SLACK: f32 = 8

/** How far below m a score may be for its exponential to be none that is replaced by 0. */
const LARGEST: f32 = 87

/** A tile that has seen nothing, from row `at` of [batch, heads, queries]. */
export function begin(call: Call, place: Place, lane: usize, at: usize): void {
  for (let r: usize = 0; r < PER_TILE; r += 4) {
    store<f32>(call.runningMax + lane + r, -Infinity)
  }
  if (call.maxima) fill(call.maxima + (at << 2), 0, place.rows, -Infinity)
  memory.fill(call.runningSum + lane * 8, 0, PER_TILE * 8)
  if (call.entropy) memory.fill(call.runningMoment + lane * 8, 0, PER_TILE * 8)
}

/**
 * From scores to e = exp(s − m), updating m, l, t and O. No |s| is larger than `bound`; `whole`: every pair is attended. What the
 * bound spares changes nothing: maxima that raise no m, and the comparison of x with −87.
 */
export function softmaxTile(call: Call, place: Place, lane: usize, output: usize, bound: f32, whole: bool): void {
  const rows = place.rows
  if (call.maxima || !keepsMaxima(call, rows, lane, bound)) {
    rowMaxima(call, call.tile, rows, call.tileMax)
    if (call.maxima) noteMaxima(call, place)
    if (raise(call, lane)) rescale(call, rows, lane, output)
  }
  const sums = call.runningSum + lane * 8
  const moments = call.runningMoment + lane * 8
  if (call.nonFinite) exponentials<Moment, AnyValue>(call, call.tile, rows, call.tileMax, 0, sums, moments)
  else if (call.entropy) exponentials<Moment, Finite>(call, call.tile, rows, call.tileMax, 0, sums, moments)
  else if (whole && bound + largestMaximum(call) <= LARGEST) exponentials<Sum, Small>(call, call.tile, rows, call.tileMax, 0, sums, 0)
  else exponentials<Sum, Finite>(call, call.tile, rows, call.tileMax, 0, sums, 0)
  if (call.dropout) dropTile(call, place)
}

/**
 * The same from scores that are not masked, where the bound spares the maxima and what lies outside of the rows' intervals is all
 * that is masked: replaced by 0 where it would have become 0. Whether it did.
 */
export function softmaxWithin(call: Call, place: Place, lane: usize, bound: f32): bool {
  if (call.entropy || call.nonFinite || call.maxima || !keepsMaxima(call, place.rows, lane, bound)) return false
  if (!(bound + largestMaximum(call) <= LARGEST)) return false
  exponentials<Sum, SmallWithin>(
    call, call.tile, place.rows, call.tileMax, 0, call.runningSum + lane * 8, 0,
    place.key, call.rowFrom + lane, call.rowTo + lane,
  )
  if (call.dropout) dropTile(call, place)
  return true
}

/** Whether no score can exceed a row's m by more than SLACK; tileMax then is m. */
function keepsMaxima(call: Call, rows: i32, lane: usize, bound: f32): bool {
  const least = f32x4.splat(bound - SLACK)
  let below = i32x4.splat(0)
  for (let r: usize = 0; r < <usize>rows << 2; r += 16) {
    const m = v128.load(call.runningMax + lane + r)
    below = v128.or(below, f32x4.lt(m, least))
    v128.store(call.tileMax + r, m)
  }
  return !v128.any_true(below)
}

/** The largest m of the tile's rows, 0 standing for none. */
function largestMaximum(call: Call): f32 {
  let m = v128.load(call.tileMax)
  for (let r: usize = 16; r < PER_TILE; r += 16) m = f32x4.pmax(m, v128.load(call.tileMax + r))
  m = f32x4.pmax(m, v128.shuffle<i64>(m, m, 1, 1))
  return max(f32x4.extract_lane(m, 0), f32x4.extract_lane(m, 1))
}

/** The tile's maxima into those of the rows so far, where these are answered. */
function noteMaxima(call: Call, place: Place): void {
  let into = call.maxima + ((<usize>place.head * <usize>call.queries + <usize>place.row) << 2)
  for (let r = 0; r < place.rows; ++r, into += 4) {
    const most = load<f32>(call.tileMax + (<usize>r << 2))
    if (most > load<f32>(into)) store<f32>(into, most)
  }
}

/** Dropout of the tile's exponentials. */
export function dropTile(call: Call, place: Place): void {
  for (let r = 0; r < place.rows; ++r) {
    const range = call.ranges + (<usize>(r / MR) << 3)
    const row = call.tile + <usize>r * TILE_ROW
    dropRow(call, place.head, place.row + r, place.key, row, load<i32>(range), load<i32>(range, 4))
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
  const step = queryRow(call, call.dimV)
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

/**
 * O/l, (m, l), m + ln l, ln l − t/l, and the largest score where it is asked for; zeros, (−∞, 0), −∞ and 0 where nothing was attended. Rows whose output is not finite are
 * noted in `large`, a bit each.
 */
export function finish(call: Call, place: Place, tile: i32, lane: usize, at: usize): void {
  const output = outputOf(call, place)
  const step = queryRow(call, call.dimV)
  let large: u32 = 0
  for (let r: usize = 0; r < <usize>place.rows; ++r) {
    const lanes = lane * 8 + (r << 5)
    const sum = sumLanes(v128.load(call.runningSum + lanes), v128.load(call.runningSum + lanes, 16))
    let m: f64 = -Infinity
    let logsumexp: f64 = -Infinity
    let entropy: f64 = 0
    if (sum != 0) {
      const l = <f64>sum
      const logSum = log(l)
      m = <f64>load<f32>(call.runningMax + lane + (r << 2))
      logsumexp = m + logSum
      if (call.entropy) {
        const moments = call.runningMoment + lanes
        entropy = logSum - <f64>sumLanes(v128.load(moments), v128.load(moments, 16)) / l
      }
      if (!divideRow(call, output + r * step, 1 / sum)) large |= 1 << <u32>r
    }
    store<f64>(call.denominator + ((at + r) << 4), m)
    store<f64>(call.denominator + ((at + r) << 4), <f64>sum, 8)
    store<f64>(call.logsumexp + ((at + r) << 3), logsumexp)
    if (call.entropy) store<f32>(call.entropy + ((at + r) << 2), <f32>entropy)
    // a NaN has been passed over, but the sum has it
    const most = call.maxima + ((at + r) << 2)
    if (call.maxima && sum != sum && load<f32>(most) != Infinity) store<f32>(most, NaN)
  }
  store<u32>(call.large + (<usize>tile << 2), large)
}

/**
 * row = row·factor; whether all of it is finite. 0 is added, because −0 comes out of FMA where a row's first product underflows,
 * but 0 where that is added to a sum: which of both it is, hangs on the tile.
 */
function divideRow(call: Call, row: usize, factor: f32): bool {
  const f = f32x4.splat(factor)
  const zero = f32x4.splat(0)
  let n0 = zero
  let n1 = zero
  let d = call.dimV
  for (; d >= 8; d -= 8) {
    const s0 = f32x4.add(f32x4.mul(v128.load(row), f), zero)
    const s1 = f32x4.add(f32x4.mul(v128.load(row, 16), f), zero)
    v128.store(row, s1, 16)
    v128.store(row, s0)
    // 0, or NaN once something is not finite
    n0 = madd(s0, zero, n0)
    n1 = madd(s1, zero, n1)
    row += 32
  }
  v128.store(call.spare, n1, 16)
  v128.store(call.spare, n0)
  let rest: f32 = 0
  for (; d > 0; --d) {
    const s = load<f32>(row) * factor + 0
    store<f32>(row, s)
    rest += s * 0
    row += 4
  }
  return sumLanes(v128.load(call.spare), v128.load(call.spare, 16)) + rest == 0
}
