/** exp, tanh (four lanes of float32) and log (one float64), from argument reduction and minimax polynomials. */
import { madd } from './lanes'

/** 1.5·2²³ + 127: adding it rounds to an integer n and leaves n + 127, the biased exponent of 2ⁿ, in the low bits. */
const ROUND: f32 = 12583039

/**
 * eˣ = 2ⁿ·eʳ, n = round(x/ln 2), r = x − n·ln 2 ∈ [−0.3466, 0.3466].
 *
 * Hazard: n·ln 2 rounded to float32 would cost r its digits. Remedy (Cody–Waite): ln 2 in two parts, the first with so
 * few bits that n times it is exact. eʳ = 1 + r + r²·p(r), p minimax of degree 4 for the relative error (3e-9).
 * Exactly 0 below −87 (so also for −∞), exactly 1 at 0, NaN for NaN: 2ⁿ is multiplied, not added to the exponent bits,
 * so that a NaN stays one. Meant for x ≤ 88.
 */
// @ts-ignore: decorator
@inline
export function exp(x: v128): v128 {
  const t = madd(x, f32x4.splat(1.44269504), f32x4.splat(ROUND))
  const n = f32x4.sub(t, f32x4.splat(ROUND))
  let r = madd(n, f32x4.splat(-0.693145751953125), x)
  r = madd(n, f32x4.splat(-1.42860677e-6), r)
  let p = madd(f32x4.splat(0.0013814391568303108), r, f32x4.splat(0.008368817158043385))
  p = madd(p, r, f32x4.splat(0.041668396443128586))
  p = madd(p, r, f32x4.splat(0.1666651964187622))
  p = madd(p, r, f32x4.splat(0.4999999403953552))
  p = madd(p, r, f32x4.splat(1))
  p = madd(p, r, f32x4.splat(1))
  const power = i32x4.shl(t, 23)
  return v128.andnot(f32x4.mul(p, power), f32x4.lt(x, f32x4.splat(-87)))
}

/**
 * tanh x. Hazard: 1 − 2/(e^{2|x|} + 1) cancels for small x. Remedy: below 0.625 the odd polynomial
 * x + x³·p(x²), p minimax of degree 4 (relative error 5e-9).
 */
// @ts-ignore: decorator
@inline
export function tanh(x: v128): v128 {
  const size = f32x4.abs(x)
  const z = f32x4.mul(x, x)
  let p = madd(f32x4.splat(-0.005678452085703611), z, f32x4.splat(0.020616168156266212))
  p = madd(p, z, f32x4.splat(-0.053732968866825104))
  p = madd(p, z, f32x4.splat(0.13331365585327148))
  p = madd(p, z, f32x4.splat(-0.3333328068256378))
  const small = madd(f32x4.mul(p, z), x, x)
  // pmin(a, b) gives a where a is NaN
  const e = exp(f32x4.pmin(f32x4.add(size, size), f32x4.splat(40)))
  const one = f32x4.splat(1)
  const large = f32x4.sub(one, f32x4.div(f32x4.splat(2), f32x4.add(e, one)))
  const signed = v128.or(large, v128.and(x, f32x4.splat(-0.0)))
  return v128.bitselect(small, signed, f32x4.lt(size, f32x4.splat(0.625)))
}

/**
 * ln x for a positive normal x, NaN for NaN: x = 2ⁿ·m with m ∈ [√½, √2), ln m = 2·artanh(z), z = (m − 1)/(m + 1),
 * |z| < 0.1716, by its power series (the first term left out is 1e-16 of the sum).
 */
export function log(x: f64): f64 {
  if (!(x < Infinity)) return x
  const bits = reinterpret<u64>(x)
  // how far the exponent is above √½'s; no comparison, because nobody could predict it
  const n = <i64>(bits - 0x3fe6a09e667f3bcd) >> 52
  const m = reinterpret<f64>(bits - (<u64>n << 52))
  const z = (m - 1) / (m + 1)
  const w = z * z
  // even and odd powers of w apart, because each step waits for the one before it
  const v = w * w
  let even: f64 = 1.0 / 17.0
  let odd: f64 = 1.0 / 19.0
  even = even * v + 1.0 / 13.0
  odd = odd * v + 1.0 / 15.0
  even = even * v + 1.0 / 9.0
  odd = odd * v + 1.0 / 11.0
  even = even * v + 1.0 / 5.0
  odd = odd * v + 1.0 / 7.0
  even = even * v + 1.0
  odd = odd * v + 1.0 / 3.0
  const s = even + w * odd
  return <f64>n * 0.6931471805599453 + 2 * z * s
}
