/**
 * The exponentials of a whole score tile, in place, and the maxima of its rows: the loops that a product's speed is lost
 * or kept in.
 *
 *   e = 2ⁿ·2ʳ with x = s − m,  n = round(x·log₂e),  r = x·log₂e − n ∈ [−½, ½],  2ʳ = 1 + r·p(r);  0 where x < −87
 *
 * p is minimax of degree 5 for the relative error (3e-9). Hazards: x·log₂e rounded would cost r its digits; with FMA r is
 * exact but for the rounding of log₂e (1.3e-8·|x|, which x ≤ 0 makes small where e is not). Below −87, where 2ⁿ would wrap
 * round, what was computed is thrown away by comparison (also for −∞, where it is a NaN), so x may be anything ≤ 88. n is
 * added to the exponent's bits, which leaves the multipliers free; where inputs may be NaN, 2ⁿ is multiplied, so that a NaN
 * stays one: the same bits otherwise, 2ⁿ·2ʳ being normal from −87 on. Exactly 1 at x = 0.
 *
 * V8 makes a constant anew wherever it is used, with three instructions. So they are written to memory (`Call.constants`)
 * and read before the loop, as something it cannot know.
 */
import { Call } from '../../../wasm/generated/attention'
import { MR, madd } from '../../../wasm/assembly/lanes'
import { FORWARD_BLOCK, QUERY_TILE, TILE_ROW } from '../../../wasm/assembly/score-tile'

/** 1.5·2²³: adding it rounds to an integer n and leaves n in the low bits; with 127 more, the biased exponent of 2ⁿ. */
const ROUND: f32 = 12582912

/** The constants of 2ˣ, four bytes each. */
export function writeConstants(call: Call): void {
  const at = call.constants
  store<f32>(at, -87)
  store<f32>(at, 1.44269504, 4)
  store<f32>(at, ROUND, 8)
  store<f32>(at, 0.0001532646274426952, 12)
  store<f32>(at, 0.0013390806270763278, 16)
  store<f32>(at, 0.009618505835533142, 20)
  store<f32>(at, 0.05550359934568405, 24)
  store<f32>(at, 0.24022647738456726, 28)
  store<f32>(at, 0.6931471824645996, 32)
  store<f32>(at, 1, 36)
  store<f32>(at, ROUND + 127, 40)
}

/**
 * Markers of what x may be: a number or −∞, NaN too, or no less than −87; and that, but only within the interval of keys that the
 * row attends to, 0 standing for what lies outside.
 */
export type Finite = i32
export type AnyValue = f32
export type Small = i64
export type SmallWithin = u64

// @ts-ignore: decorator
@inline
export function exp<N>(
  x: v128, least: v128, log2e: v128, round: v128,
  p6: v128, p5: v128, p4: v128, p3: v128, p2: v128, p1: v128, one: v128,
): v128 {
  const t = madd(x, log2e, round)
  const r = madd(x, log2e, f32x4.sub(round, t))
  let p = madd(p6, r, p5)
  p = madd(p, r, p4)
  p = madd(p, r, p3)
  p = madd(p, r, p2)
  p = madd(p, r, p1)
  p = madd(p, r, one)
  const exponent = i32x4.shl(t, 23)
  const e = isFloat<N>() ? f32x4.mul(p, exponent) : i32x4.add(p, exponent)
  return sizeof<N>() == 8 ? e : v128.andnot(e, f32x4.lt(x, least))
}

// @ts-ignore: decorator
@inline
function isWithin<N>(): bool {
  return sizeof<N>() == 8 && !isSigned<N>()
}

/** Where the constant that rounds stands. */
// @ts-ignore: decorator
@inline
export function roundAt<N>(call: Call): v128 {
  return isFloat<N>() ? v128.load_splat<f32>(call.constants, 40) : v128.load_splat<f32>(call.constants, 8)
}

/**
 * Markers. `Sum`: sum the exponentials of each row, lane by lane. `Moment`: the same, and sum e·x beside it. `Weights`: no
 * sum, but a factor for each row.
 */
export type Sum = i32
export type Moment = f64
export type Weights = f32

// @ts-ignore: decorator
@inline
function sums<L>(): bool {
  return isInteger<L>() || hasMoment<L>()
}

// @ts-ignore: decorator
@inline
function hasMoment<L>(): bool {
  return isFloat<L>() && sizeof<L>() == 8
}

/**
 * tile = exp(tile − m[r]) for the rows within `ranges`, times factors[r] with `Weights`. Where it sums, totals[r][8] += the
 * row's exponentials, lane by lane; with `Moment`, moments[r][8] += Σ e·x too, with 0·(−∞) = 0.
 */
export function exponentials<L, N>(
  call: Call, tile: usize, rows: i32, maxima: usize, factors: usize, totals: usize, moments: usize,
  key: i32 = 0, rowFrom: usize = 0, rowTo: usize = 0,
): void {
  const k = call.constants
  const least = v128.load_splat<f32>(k)
  const log2e = v128.load_splat<f32>(k, 4)
  const round = roundAt<N>(call)
  const p6 = v128.load_splat<f32>(k, 12)
  const p5 = v128.load_splat<f32>(k, 16)
  const p4 = v128.load_splat<f32>(k, 20)
  const p3 = v128.load_splat<f32>(k, 24)
  const p2 = v128.load_splat<f32>(k, 28)
  const p1 = v128.load_splat<f32>(k, 32)
  const one = v128.load_splat<f32>(k, 36)
  const eight = isWithin<N>() ? i32x4.splat(8) : one
  for (let first = 0; first < rows; first += MR) {
    const range = call.ranges + (<usize>(first / MR) << 3)
    const begin = <usize>load<i32>(range) << 2
    const length = (<usize>load<i32>(range, 4) << 2) - begin
    for (let r = first, last = min(rows, first + MR); r < last; ++r) {
      const m = v128.load_splat<f32>(maxima + (<usize>r << 2))
      const factor = !sums<L>() ? v128.load_splat<f32>(factors + (<usize>r << 2)) : m
      const sum = totals + (<usize>r << 5)
      let s0 = !sums<L>() ? m : v128.load(sum)
      let s1 = !sums<L>() ? m : v128.load(sum, 16)
      const moment = moments + (<usize>r << 5)
      let t0 = hasMoment<L>() ? v128.load(moment) : m
      let t1 = hasMoment<L>() ? v128.load(moment, 16) : m
      let at = tile + <usize>r * TILE_ROW + begin
      const end = at + length
      const before = isWithin<N>() ? i32x4.splat(load<i32>(rowFrom + (<usize>r << 2)) - key - 1) : m
      const to = isWithin<N>() ? i32x4.splat(load<i32>(rowTo + (<usize>r << 2)) - key) : m
      let j0 = isWithin<N>() ? i32x4.add(i32x4.splat(<i32>begin >> 2), i32x4(0, 1, 2, 3)) : m
      let j1 = isWithin<N>() ? i32x4.add(i32x4.splat(<i32>begin >> 2), i32x4(4, 5, 6, 7)) : m
      for (; at < end; at += 32) {
        const x0 = f32x4.sub(v128.load(at), m)
        const x1 = f32x4.sub(v128.load(at, 16), m)
        let e0 = exp<N>(x0, least, log2e, round, p6, p5, p4, p3, p2, p1, one)
        let e1 = exp<N>(x1, least, log2e, round, p6, p5, p4, p3, p2, p1, one)
        if (isWithin<N>()) {
          e0 = v128.and(e0, v128.and(i32x4.gt_s(j0, before), i32x4.gt_s(to, j0)))
          e1 = v128.and(e1, v128.and(i32x4.gt_s(j1, before), i32x4.gt_s(to, j1)))
          j0 = i32x4.add(j0, eight)
          j1 = i32x4.add(j1, eight)
        }
        if (!sums<L>()) {
          e0 = f32x4.mul(e0, factor)
          e1 = f32x4.mul(e1, factor)
        }
        v128.store(at, e1, 16)
        v128.store(at, e0)
        if (sums<L>()) {
          s0 = f32x4.add(s0, e0)
          s1 = f32x4.add(s1, e1)
        }
        if (hasMoment<L>()) {
          t0 = madd(e0, f32x4.pmax(x0, least), t0)
          t1 = madd(e1, f32x4.pmax(x1, least), t1)
        }
      }
      if (sums<L>()) {
        v128.store(sum, s1, 16)
        v128.store(sum, s0)
      }
      if (hasMoment<L>()) {
        v128.store(moment, t1, 16)
        v128.store(moment, t0)
      }
    }
  }
}

/** maxima[r] = the largest of row r within `ranges`, −∞ where there is none; a NaN may be passed over. 24 rows. */
export function rowMaxima(call: Call, tile: usize, rows: i32, maxima: usize): void {
  const lanes = call.laneMax
  const nothing = f32x4.splat(-Infinity)
  for (let first = 0; first < rows; first += MR) {
    const range = call.ranges + (<usize>(first / MR) << 3)
    const begin = <usize>load<i32>(range) << 2
    const end = <usize>load<i32>(range, 4) << 2
    for (let r = first, last = min(rows, first + MR); r < last; ++r) {
      const row = tile + <usize>r * TILE_ROW
      let m0 = nothing
      let m1 = nothing
      if (end - begin == <usize>FORWARD_BLOCK << 2) {
        // a whole row in one go: a loop so short would spend half its time on itself
        let n0 = f32x4.pmax(v128.load(row), v128.load(row, 64))
        let n1 = f32x4.pmax(v128.load(row, 16), v128.load(row, 80))
        m0 = f32x4.pmax(v128.load(row, 32), v128.load(row, 96))
        m1 = f32x4.pmax(v128.load(row, 48), v128.load(row, 112))
        n0 = f32x4.pmax(n0, v128.load(row, 128))
        n1 = f32x4.pmax(n1, v128.load(row, 144))
        m0 = f32x4.pmax(m0, v128.load(row, 160))
        m1 = f32x4.pmax(m1, v128.load(row, 176))
        n0 = f32x4.pmax(n0, v128.load(row, 192))
        n1 = f32x4.pmax(n1, v128.load(row, 208))
        m0 = f32x4.pmax(m0, v128.load(row, 224))
        m1 = f32x4.pmax(m1, v128.load(row, 240))
        n0 = f32x4.pmax(n0, v128.load(row, 256))
        n1 = f32x4.pmax(n1, v128.load(row, 272))
        m0 = f32x4.pmax(m0, v128.load(row, 288))
        m1 = f32x4.pmax(m1, v128.load(row, 304))
        n0 = f32x4.pmax(n0, v128.load(row, 320))
        n1 = f32x4.pmax(n1, v128.load(row, 336))
        m0 = f32x4.pmax(m0, v128.load(row, 352))
        m1 = f32x4.pmax(m1, v128.load(row, 368))
        n0 = f32x4.pmax(n0, v128.load(row, 384))
        n1 = f32x4.pmax(n1, v128.load(row, 400))
        m0 = f32x4.pmax(m0, v128.load(row, 416))
        m1 = f32x4.pmax(m1, v128.load(row, 432))
        n0 = f32x4.pmax(n0, v128.load(row, 448))
        n1 = f32x4.pmax(n1, v128.load(row, 464))
        m0 = f32x4.pmax(m0, v128.load(row, 480))
        m1 = f32x4.pmax(m1, v128.load(row, 496))
        m0 = f32x4.pmax(m0, n0)
        m1 = f32x4.pmax(m1, n1)
      } else {
        for (let at = row + begin, stop = row + end; at < stop; at += 32) {
          m0 = f32x4.pmax(m0, v128.load(at))
          m1 = f32x4.pmax(m1, v128.load(at, 16))
        }
      }
      const lane = lanes + (<usize>r << 5)
      v128.store(lane, m1, 16)
      v128.store(lane, m0)
    }
  }
  for (let r = rows; r < QUERY_TILE; ++r) {
    const lane = lanes + (<usize>r << 5)
    v128.store(lane, nothing, 16)
    v128.store(lane, nothing)
  }
  for (let r: usize = 0; r < <usize>QUERY_TILE; r += 4) {
    const lane = lanes + (r << 5)
    const a = f32x4.pmax(v128.load(lane), v128.load(lane, 16))
    const b = f32x4.pmax(v128.load(lane, 32), v128.load(lane, 48))
    const c = f32x4.pmax(v128.load(lane, 64), v128.load(lane, 80))
    const d = f32x4.pmax(v128.load(lane, 96), v128.load(lane, 112))
    const ab = f32x4.pmax(v128.shuffle<f32>(a, b, 0, 4, 1, 5), v128.shuffle<f32>(a, b, 2, 6, 3, 7))
    const cd = f32x4.pmax(v128.shuffle<f32>(c, d, 0, 4, 1, 5), v128.shuffle<f32>(c, d, 2, 6, 3, 7))
    v128.store(maxima + (r << 2), f32x4.pmax(v128.shuffle<i64>(ab, cd, 0, 2), v128.shuffle<i64>(ab, cd, 1, 3)))
  }
}
