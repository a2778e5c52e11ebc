/**
 * The functions between the two products of a feed-forward layer, in four lanes of float32, and their derivatives:
 *
 *   relu        max(0, x)
 *   gelu        x·Φ(x)                       Φ the normal distribution's cumulative function, φ its density
 *   gelu_tanh   x·σ(2u)                      u = √(2/π)·(x + 0.044715·x³); σ(2u) = ½·(1 + tanh u)
 *   silu        x·σ(x)                       σ(x) = 1/(1 + e^(−x))
 *   quick_gelu  x·σ(1.702·x)
 *   swiglu      silu(gate)·x;  geglu, geglu_tanh: the same with gelu, gelu_tanh
 *
 * Hazards: 1 + erf and 1 + tanh cancel for x < 0: Φ has a tail of its own, and σ is taken from e = e^(−|x|) ≤ 1 on both sides, which
 * does not overflow either. At ±∞ the formulas say ∞·0 where the limit is 0: a factor that is 0 gives 0. NaN stays NaN, but where
 * gradY is 0 the gradient is 0 whatever x is (padding leaks nothing).
 */
import { madd } from '../../../wasm/assembly/lanes'

/** Markers of the functions, told apart by their sizes at compile time: each has a loop of its own, without a branch. */
export type Relu = i8
export type Gelu = i16
export type GeluTanh = i32
export type Silu = i64
export type QuickGelu = v128

/**
 * Constants stand in memory, because V8 makes one that it knows anew wherever it is used, with three instructions (ten
 * where it fuses a pair). `K` is read with the offsets below.
 */
const K: usize = memory.data<f32>([
  -88, 1.44269504, 12583039, -0.693145751953125, -1.42860677e-6, // exp
  0.0013814391568303108, 0.008368817158043385, 0.041668396443128586, 0.1666651964187622, 0.4999999403953552,
  0, 0.5, 1, 0.3989422804014327, 0.3, -0.5, // 1/√(2π)
  9.24683699849993e-5, -0.0011653507826849818, 0.009964167140424252, -0.06648872792720795, 0.3989422023296356, // Φ, centre
  0.02742195315659046, -0.12966284155845642, 0.16829130053520203, -0.025528084486722946, 0.11655627191066742, // Φ, tail
  0.10285735130310059, 0.12037014961242676, 0.11964981257915497,
  1.5957691216057308, 0.044715, 0.21406444881780076, // 2·√(2/π), the cubic term, three times their product
  1.702,
])
const EXP: usize = 0
const ZERO: usize = 40
const HALF: usize = 44
const ONE: usize = 48
const DENSITY: usize = 52
const REACH: usize = 56
const MINUS_HALF: usize = 60
const CENTRE: usize = 64
const TAIL: usize = 84
const SCALE: usize = 116
const CUBIC: usize = 120
const CUBIC_SLOPE: usize = 124
const QUICK: usize = 128

// @ts-ignore: decorator
@inline
function constant(offset: usize): v128 {
  return v128.load_splat<f32>(K + offset)
}

/**
 * eˣ by the formula of elementary.ts, with its constants: exactly 0 from −88 down (n = −127, whose exponent's bits are 0), 1 at 0,
 * NaN for NaN. Meant for x ≤ 0.
 */
// @ts-ignore: decorator
@inline
function exp(x: v128): v128 {
  const y = f32x4.pmax(x, constant(EXP))
  const t = madd(y, constant(EXP + 4), constant(EXP + 8))
  const n = f32x4.sub(t, constant(EXP + 8))
  let r = madd(n, constant(EXP + 12), y)
  r = madd(n, constant(EXP + 16), r)
  let p = madd(constant(EXP + 20), r, constant(EXP + 24))
  p = madd(p, r, constant(EXP + 28))
  p = madd(p, r, constant(EXP + 32))
  p = madd(p, r, constant(EXP + 36))
  p = madd(p, r, constant(ONE))
  p = madd(p, r, constant(ONE))
  return f32x4.mul(p, i32x4.shl(t, 23))
}

/** x·factor, 0 where the factor is 0: x is masked before, because ∞·0 is NaN. */
// @ts-ignore: decorator
@inline
function times(x: v128, factor: v128): v128 {
  return f32x4.mul(v128.andnot(x, f32x4.eq(factor, constant(ZERO))), factor)
}

/**
 * Φ(x) given e = e^(−x²/2): ½ + x·p(x²) for |x| < 1 (p minimax of degree 4, absolute error 7e-9); beyond, the tail of −|x| is
 * e·w·q(w), w = 1/(1 + 0.3·|x|), q minimax of degree 7 (relative error 4e-8), and Φ(x) is that or 1 less that.
 */
// @ts-ignore: decorator
@inline
function cumulative(x: v128, e: v128): v128 {
  const z = f32x4.mul(x, x)
  let p = madd(constant(CENTRE), z, constant(CENTRE + 4))
  p = madd(p, z, constant(CENTRE + 8))
  p = madd(p, z, constant(CENTRE + 12))
  p = madd(p, z, constant(CENTRE + 16))
  const centre = madd(x, p, constant(HALF))
  const size = f32x4.abs(x)
  const w = f32x4.div(constant(ONE), madd(size, constant(REACH), constant(ONE)))
  let q = madd(constant(TAIL), w, constant(TAIL + 4))
  q = madd(q, w, constant(TAIL + 8))
  q = madd(q, w, constant(TAIL + 12))
  q = madd(q, w, constant(TAIL + 16))
  q = madd(q, w, constant(TAIL + 20))
  q = madd(q, w, constant(TAIL + 24))
  q = madd(q, w, constant(TAIL + 28))
  const tail = f32x4.mul(f32x4.mul(e, w), q)
  const outer = v128.bitselect(tail, f32x4.sub(constant(ONE), tail), f32x4.lt(x, constant(ZERO)))
  return v128.bitselect(centre, outer, f32x4.lt(size, constant(ONE)))
}

/** e^(−x²/2) */
// @ts-ignore: decorator
@inline
function gaussian(x: v128): v128 {
  return exp(f32x4.mul(f32x4.mul(x, x), constant(MINUS_HALF)))
}

/** e^(−|x|) */
// @ts-ignore: decorator
@inline
function decay(x: v128): v128 {
  return exp(f32x4.neg(f32x4.abs(x)))
}

/** x·σ(v): σ(v) = 1/(1 + e) for v ≥ 0, e/(1 + e) for v < 0, e = e^(−|v|). */
// @ts-ignore: decorator
@inline
function timesSigmoid(x: v128, v: v128): v128 {
  const e = decay(v)
  const above = v128.bitselect(e, constant(ONE), f32x4.lt(v, constant(ZERO)))
  return times(x, f32x4.div(above, f32x4.add(constant(ONE), e)))
}

/** σ(v) + x·σ(v)·σ(−v): the derivative of x·σ(v) where x stands for x·v′. */
// @ts-ignore: decorator
@inline
function sigmoidSlope(x: v128, v: v128): v128 {
  const e = decay(v)
  const above = f32x4.div(constant(ONE), f32x4.add(constant(ONE), e))
  const below = f32x4.mul(e, above)
  const s = v128.bitselect(below, above, f32x4.lt(v, constant(ZERO)))
  return f32x4.add(times(x, f32x4.mul(above, below)), s)
}

/** 2u = 2·√(2/π)·(x + 0.044715·x³) */
// @ts-ignore: decorator
@inline
function twiceInner(x: v128): v128 {
  return f32x4.mul(f32x4.mul(x, constant(SCALE)), madd(f32x4.mul(x, x), constant(CUBIC), constant(ONE)))
}

// @ts-ignore: decorator
@inline
export function value<F>(x: v128): v128 {
  if (sizeof<F>() == sizeof<Relu>()) return f32x4.pmax(x, constant(ZERO)) // NaN where x is NaN
  if (sizeof<F>() == sizeof<Gelu>()) return times(x, cumulative(x, gaussian(x)))
  if (sizeof<F>() == sizeof<GeluTanh>()) return timesSigmoid(x, twiceInner(x))
  if (sizeof<F>() == sizeof<QuickGelu>()) return timesSigmoid(x, f32x4.mul(x, constant(QUICK)))
  return timesSigmoid(x, x)
}

// @ts-ignore: decorator
@inline
export function slope<F>(x: v128): v128 {
  if (sizeof<F>() == sizeof<Relu>()) {
    const positive = v128.bitselect(constant(ONE), x, f32x4.gt(x, constant(ZERO))) // NaN where x is NaN
    return v128.andnot(positive, f32x4.le(x, constant(ZERO)))
  }
  if (sizeof<F>() == sizeof<Gelu>()) {
    const e = gaussian(x)
    return f32x4.add(cumulative(x, e), times(x, f32x4.mul(e, constant(DENSITY))))
  }
  if (sizeof<F>() == sizeof<GeluTanh>()) {
    const slopeOfInner = madd(f32x4.mul(x, x), constant(CUBIC_SLOPE), constant(SCALE))
    return sigmoidSlope(f32x4.mul(x, slopeOfInner), twiceInner(x))
  }
  if (sizeof<F>() == sizeof<QuickGelu>()) {
    const v = f32x4.mul(x, constant(QUICK))
    return sigmoidSlope(v, v)
  }
  return sigmoidSlope(x, x)
}

/** g·factor, 0 where g is 0. */
// @ts-ignore: decorator
@inline
export function passed(g: v128, factor: v128): v128 {
  return f32x4.mul(v128.andnot(factor, f32x4.eq(g, constant(ZERO))), g)
}
