/**
 * The softmax of a query tile whose scores are known to be small before there are any: with nothing subtracted.
 *
 *   |s| ≤ ‖q‖·‖k‖·|scale|        e = exp(s) = 2ˣ, x = s·log₂e        l += Σ e        O += e·V
 *
 * Where the bound of a tile's rows and a block's keys keeps |x| ≤ 32, no maximum is looked for and none subtracted, nothing
 * is ever scaled, and x needs no limit: exp takes 8 operations of the multipliers instead of 10. What is subtracted from
 * the rows' scores counts as m = 0, so that the online softmax can take over at any block (`release`).
 *
 * Hazards: e reaches 2³², so that l and O could overflow where v is huge: values beyond 2⁵⁰ take the online softmax, and so
 * does what has any other addend than scale·q·k. e may be no more than 2⁻³², so that e·v could lose digits to underflow:
 * the error of O/l stays below 2⁻¹¹⁸. The output of a row with a single key must be that key's v exactly (see delta in
 * gradient-tile.ts), and e·v/e is not: tiles with such a row are left to the online softmax, where e is 1.
 * x rounded before n is taken from it would cost every e digits that a plain evaluation keeps near its maximum: so only with FMA.
 * What is masked by its position has a score like any other, and its e is replaced by 0.
 */
import { Call } from '../../../wasm/generated/attention'
import { fraction } from './exponentials'
import { MR, madd, sumLanes } from '../../../wasm/assembly/lanes'
import { QUERY_TILE, TILE_ROW } from '../../../wasm/assembly/score-tile'
import { largestRow } from './norms'
import { Place, onePack } from './scores'
import { WHOLE } from './visibility'

/** The square of the largest |x|. */
const LARGEST: f64 = 1024

/** What a tile's rows subtract: nothing seen yet, 0, or their own maxima. */
const UNSEEN: i32 = 0
const ZERO: i32 = 1
const MAXIMA: i32 = 2

/** Whether there is FMA, the scores are scale·q·k alone, and the block is packed whole, so that its norms are at hand. */
export function canFix(call: Call): bool {
  return (
    ASC_FEATURE_RELAXED_SIMD && !(call.softcap > 0) && !call.slopes && !call.maskKind && !call.earlier && !call.nonFinite &&
    onePack(call, call.dimK) && onePack(call, call.dimV)
  )
}

/** Notes the largest ‖q‖² of the tile's rows, and whether its softmax may be fixed at all. */
export function beginTile(call: Call, tile: usize, q: usize, rows: i32, can: bool, lane: usize, common: usize): void {
  const at = call.tileState + (tile << 3)
  if (!can || hasLoneKey(call, rows, lane, common)) {
    store<i32>(at, MAXIMA)
    return
  }
  store<i32>(at, UNSEEN)
  store<f32>(at, largestRow(call, q, rows), 4)
}

/** Whether some row sees just one key. */
function hasLoneKey(call: Call, rows: i32, lane: usize, common: usize): bool {
  if (load<i32>(common, 4) - load<i32>(common) > 1) return false
  for (let r: usize = 0; r < <usize>rows << 2; r += 4) {
    if (load<i32>(call.rowTo + lane + r) - load<i32>(call.rowFrom + lane + r) == 1) return true
  }
  return false
}

/** Whether the tile takes the block with m = 0, of which the largest ‖k‖² is `key`. */
export function isFixed(call: Call, tile: usize, key: f32, lane: usize, rows: i32): bool {
  const at = call.tileState + (tile << 3)
  const state = load<i32>(at)
  if (state == MAXIMA) return false
  const factor = <f64>call.scale * <f64>load<f32>(call.constants, 4)
  if (<f64>load<f32>(at, 4) * <f64>key * (factor * factor) <= LARGEST) {
    if (state == UNSEEN) {
      store<i32>(at, ZERO)
      memory.fill(call.runningMax + lane, 0, <usize>QUERY_TILE << 2)
    }
    return true
  }
  store<i32>(at, MAXIMA)
  if (state == ZERO) release(call, lane, rows)
  return false
}

/** The online softmax takes over with m = 0; a row that has seen nothing has no m. */
function release(call: Call, lane: usize, rows: i32): void {
  for (let r: usize = 0; r < <usize>rows; ++r) {
    const sums = call.runningSum + lane * 8 + (r << 5)
    if (sumLanes(v128.load(sums), v128.load(sums, 16)) == 0) store<f32>(call.runningMax + lane + (r << 2), -Infinity)
  }
}

/** Markers: every pair of the tile is attended, or only those in the rows' intervals; without and with the entropy's moment. */
type Whole = i32
type Partly = f32
type Sum = i32
type Moment = f32

// @ts-ignore: decorator
@inline
function power(
  x: v128, log2e: v128, round: v128, p6: v128, p5: v128, p4: v128, p3: v128, p2: v128, p1: v128, one: v128,
): v128 {
  const t = madd(x, log2e, round)
  return i32x4.add(fraction(x, t, log2e, round, p6, p5, p4, p3, p2, p1, one), i32x4.shl(t, 23))
}

/**
 * tile = exp(tile) within `ranges`, 0 where not attended; sums[r][8] += the row's, lane by lane; with `Moment`,
 * moments[r][8] += Σ e·s too.
 */
function powers<L, M>(call: Call, place: Place, lane: usize): void {
  const k = call.constants
  const log2e = v128.load_splat<f32>(k, 4)
  const round = v128.load_splat<f32>(k, 44)
  const p6 = v128.load_splat<f32>(k, 12)
  const p5 = v128.load_splat<f32>(k, 16)
  const p4 = v128.load_splat<f32>(k, 20)
  const p3 = v128.load_splat<f32>(k, 24)
  const p2 = v128.load_splat<f32>(k, 28)
  const p1 = v128.load_splat<f32>(k, 32)
  const one = v128.load_splat<f32>(k, 36)
  const eight = i32x4.splat(8)
  const rows = place.rows
  const sums = call.runningSum + lane * 8
  for (let first = 0; first < rows; first += MR) {
    const range = call.ranges + (<usize>(first / MR) << 3)
    const begin = <usize>load<i32>(range) << 2
    const length = (<usize>load<i32>(range, 4) << 2) - begin
    for (let r = first, last = min(rows, first + MR); r < last; ++r) {
      const sum = sums + (<usize>r << 5)
      let s0 = v128.load(sum)
      let s1 = v128.load(sum, 16)
      const moment = call.runningMoment + lane * 8 + (<usize>r << 5)
      let m0 = isFloat<M>() ? v128.load(moment) : round
      let m1 = isFloat<M>() ? v128.load(moment, 16) : round
      let at = call.tile + <usize>r * TILE_ROW + begin
      const end = at + length
      const before = isFloat<L>() ? i32x4.splat(load<i32>(call.rowFrom + lane + (<usize>r << 2)) - place.key - 1) : round
      const to = isFloat<L>() ? i32x4.splat(load<i32>(call.rowTo + lane + (<usize>r << 2)) - place.key) : round
      let j0 = isFloat<L>() ? i32x4.add(i32x4.splat(<i32>begin >> 2), i32x4(0, 1, 2, 3)) : round
      let j1 = isFloat<L>() ? i32x4.add(i32x4.splat(<i32>begin >> 2), i32x4(4, 5, 6, 7)) : round
      for (; at < end; at += 32) {
        let x0 = v128.load(at)
        let x1 = v128.load(at, 16)
        let e0 = power(x0, log2e, round, p6, p5, p4, p3, p2, p1, one)
        let e1 = power(x1, log2e, round, p6, p5, p4, p3, p2, p1, one)
        if (isFloat<L>()) {
          const seen0 = v128.and(i32x4.gt_s(j0, before), i32x4.gt_s(to, j0))
          const seen1 = v128.and(i32x4.gt_s(j1, before), i32x4.gt_s(to, j1))
          e0 = v128.and(e0, seen0)
          e1 = v128.and(e1, seen1)
          j0 = i32x4.add(j0, eight)
          j1 = i32x4.add(j1, eight)
          x0 = v128.and(x0, seen0)
          x1 = v128.and(x1, seen1)
        }
        if (isFloat<M>()) {
          m0 = madd(e0, x0, m0)
          m1 = madd(e1, x1, m1)
        }
        v128.store(at, e1, 16)
        v128.store(at, e0)
        s0 = f32x4.add(s0, e0)
        s1 = f32x4.add(s1, e1)
      }
      if (isFloat<M>()) {
        v128.store(moment, m1, 16)
        v128.store(moment, m0)
      }
      v128.store(sum, s1, 16)
      v128.store(sum, s0)
    }
  }
}

/** e = exp(s) of a tile whose scores are small, and their sums. */
export function fixedExponentials(call: Call, place: Place, lane: usize, seen: i32): void {
  if (seen == WHOLE) {
    if (call.entropy) powers<Whole, Moment>(call, place, lane)
    else powers<Whole, Sum>(call, place, lane)
  } else if (call.entropy) powers<Partly, Moment>(call, place, lane)
  else powers<Partly, Sum>(call, place, lane)
}
