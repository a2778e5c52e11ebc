/**
 * The functions between the two products of a feed-forward layer, in four lanes of float32, and their derivatives:
 *
 *   relu        max(0, x)
 *   gelu        x·Φ(x)                       Φ the normal distribution's cumulative function, φ its density
 *   gelu_tanh   x·σ(2u)                      u = √(2/π)·(x + 0.044715·x³); σ(2u) = ½·(1 + tanh u)
 *   silu        x·σ(x)                       σ(x) = 1/(1 + e^(−x))
 *   swiglu      silu(gate)·x
 *
 * Hazards: 1 + erf and 1 + tanh cancel for x < 0: Φ has a tail of its own, and σ is taken from e = e^(−|x|) ≤ 1 on both sides, which
 * does not overflow either. At ±∞ the formulas say ∞·0 where the limit is 0: a factor that is 0 gives 0. NaN stays NaN, but where
 * gradY is 0 the gradient is 0 whatever x is (padding leaks nothing).
 * A unit is ELEMENT_BLOCK elements; they write y, or gradX and gradGate.
 */
import { exp } from './elementary'
import { madd } from './lanes'

/** ELEMENT_BLOCK of the contract (layer-args.ts). */
export const ELEMENTS: i32 = 4096

// the numbering of ActivationKind in ../layers.ts
const RELU: i32 = 0
const GELU: i32 = 1
const GELU_TANH: i32 = 2
const SILU: i32 = 3
const SWIGLU: i32 = 4

/** x·factor, 0 where the factor is 0. (x is masked, not the product: V8 fuses a pair from its last operation on, if that is arithmetic.) */
// @ts-ignore: decorator
@inline
function times(x: v128, factor: v128): v128 {
  return f32x4.mul(v128.andnot(x, f32x4.eq(factor, f32x4.splat(0))), factor)
}

/**
 * Φ(x) given e = e^(−x²/2): ½ + x·p(x²) for |x| < 1 (p minimax of degree 4, absolute error 7e-9); beyond, the tail of −|x| is
 * e·w·q(w), w = 1/(1 + 0.3·|x|), q minimax of degree 7 (relative error 4e-8), and Φ(x) is that or 1 less that.
 */
// @ts-ignore: decorator
@inline
function cumulative(x: v128, e: v128): v128 {
  const z = f32x4.mul(x, x)
  let p = madd(f32x4.splat(9.24683699849993e-5), z, f32x4.splat(-0.0011653507826849818))
  p = madd(p, z, f32x4.splat(0.009964167140424252))
  p = madd(p, z, f32x4.splat(-0.06648872792720795))
  p = madd(p, z, f32x4.splat(0.3989422023296356))
  const centre = madd(x, p, f32x4.splat(0.5))
  const one = f32x4.splat(1)
  const size = f32x4.abs(x)
  const w = f32x4.div(one, madd(size, f32x4.splat(0.3), one))
  let q = madd(f32x4.splat(0.02742195315659046), w, f32x4.splat(-0.12966284155845642))
  q = madd(q, w, f32x4.splat(0.16829130053520203))
  q = madd(q, w, f32x4.splat(-0.025528084486722946))
  q = madd(q, w, f32x4.splat(0.11655627191066742))
  q = madd(q, w, f32x4.splat(0.10285735130310059))
  q = madd(q, w, f32x4.splat(0.12037014961242676))
  q = madd(q, w, f32x4.splat(0.11964981257915497))
  const tail = f32x4.mul(f32x4.mul(e, w), q)
  const outer = v128.bitselect(tail, f32x4.sub(one, tail), f32x4.lt(x, f32x4.splat(0)))
  return v128.bitselect(centre, outer, f32x4.lt(size, one))
}

/** e^(−x²/2) */
// @ts-ignore: decorator
@inline
function bell(x: v128): v128 {
  return exp(f32x4.mul(f32x4.mul(x, x), f32x4.splat(-0.5)))
}

/** σ(x) = 1/(1 + e) for x ≥ 0, e/(1 + e) for x < 0, given e = e^(−|x|). */
// @ts-ignore: decorator
@inline
function sigmoid(x: v128, e: v128): v128 {
  const one = f32x4.splat(1)
  const above = v128.bitselect(e, one, f32x4.lt(x, f32x4.splat(0)))
  return f32x4.div(above, f32x4.add(one, e))
}

/** σ(v) + x·σ(v)·σ(−v), given e = e^(−|v|): the derivative of x·σ(v) where x stands for x·v′. */
// @ts-ignore: decorator
@inline
function sigmoidSlope(v: v128, x: v128, e: v128): v128 {
  const one = f32x4.splat(1)
  const above = f32x4.div(one, f32x4.add(one, e))
  const below = f32x4.mul(e, above)
  const s = v128.bitselect(below, above, f32x4.lt(v, f32x4.splat(0)))
  return f32x4.add(times(x, f32x4.mul(above, below)), s)
}

/** e^(−|x|) */
// @ts-ignore: decorator
@inline
function decay(x: v128): v128 {
  return exp(f32x4.neg(f32x4.abs(x)))
}

/** 2u = 2·√(2/π)·(x + 0.044715·x³) */
// @ts-ignore: decorator
@inline
function twiceInner(x: v128): v128 {
  const z = f32x4.mul(x, x)
  return f32x4.mul(f32x4.mul(x, f32x4.splat(1.5957691216057308)), madd(z, f32x4.splat(0.044715), f32x4.splat(1)))
}

// @ts-ignore: decorator
@inline
function value(kind: i32, x: v128, gate: v128): v128 {
  if (kind == RELU) return f32x4.pmax(x, f32x4.splat(0)) // NaN where x is NaN
  if (kind == GELU) return times(x, cumulative(x, bell(x)))
  if (kind == GELU_TANH) {
    const v = twiceInner(x)
    return times(x, sigmoid(v, decay(v)))
  }
  const s = kind == SILU ? x : gate
  const silu = times(s, sigmoid(s, decay(s)))
  return kind == SILU ? silu : f32x4.mul(silu, x)
}

// @ts-ignore: decorator
@inline
function slope(kind: i32, x: v128): v128 {
  if (kind == RELU) {
    const zero = f32x4.splat(0)
    const positive = v128.bitselect(f32x4.splat(1), x, f32x4.gt(x, zero)) // NaN where x is NaN
    return v128.andnot(positive, f32x4.le(x, zero))
  }
  if (kind == GELU) {
    const e = bell(x)
    return f32x4.add(cumulative(x, e), times(x, f32x4.mul(e, f32x4.splat(0.3989422804014327))))
  }
  if (kind == GELU_TANH) {
    const v = twiceInner(x)
    const e = decay(v)
    const z = f32x4.mul(x, x)
    const slopeOfV = madd(z, f32x4.splat(0.21406444881780073), f32x4.splat(1.5957691216057308))
    return sigmoidSlope(v, f32x4.mul(x, slopeOfV), e)
  }
  return sigmoidSlope(x, x, decay(x))
}

/** g·factor, 0 where g is 0. */
// @ts-ignore: decorator
@inline
function passed(g: v128, factor: v128): v128 {
  return f32x4.mul(v128.andnot(factor, f32x4.eq(g, f32x4.splat(0))), g)
}

/** Eight elements at a time, then one by one: a lane's arithmetic is the same wherever it stands. */
// @ts-ignore: decorator
@inline
function forward(kind: i32, x: usize, gate: usize, y: usize, count: i32): void {
  let i = count
  for (; i >= 8; i -= 8) {
    const y0 = value(kind, v128.load(x), kind == SWIGLU ? v128.load(gate) : f32x4.splat(0))
    const y1 = value(kind, v128.load(x, 16), kind == SWIGLU ? v128.load(gate, 16) : f32x4.splat(0))
    v128.store(y, y0)
    v128.store(y, y1, 16)
    x += 32
    gate += 32
    y += 32
  }
  for (; i > 0; --i) {
    const one = value(kind, v128.load_splat<f32>(x), kind == SWIGLU ? v128.load_splat<f32>(gate) : f32x4.splat(0))
    v128.store_lane<f32>(y, one, 0)
    x += 4
    gate += 4
    y += 4
  }
}

// @ts-ignore: decorator
@inline
function backward(kind: i32, x: usize, gradY: usize, gradX: usize, count: i32): void {
  let i = count
  for (; i >= 8; i -= 8) {
    const g0 = passed(v128.load(gradY), slope(kind, v128.load(x)))
    const g1 = passed(v128.load(gradY, 16), slope(kind, v128.load(x, 16)))
    v128.store(gradX, g0)
    v128.store(gradX, g1, 16)
    x += 32
    gradY += 32
    gradX += 32
  }
  for (; i > 0; --i) {
    const one = passed(v128.load_splat<f32>(gradY), slope(kind, v128.load_splat<f32>(x)))
    v128.store_lane<f32>(gradX, one, 0)
    x += 4
    gradY += 4
    gradX += 4
  }
}

// @ts-ignore: decorator
@inline
function gateSlope(gate: v128, x: v128): v128 {
  return f32x4.mul(slope(SILU, gate), x)
}

/** gradX = silu(gate)·gradY, gradGate = silu′(gate)·x·gradY */
function gatedBackward(x: usize, gate: usize, gradY: usize, gradX: usize, gradGate: usize, count: i32): void {
  const none = f32x4.splat(0)
  let i = count
  for (; i >= 8; i -= 8) {
    const s0 = passed(v128.load(gradY), value(SILU, v128.load(gate), none))
    const s1 = passed(v128.load(gradY, 16), value(SILU, v128.load(gate, 16), none))
    const g0 = passed(v128.load(gradY), gateSlope(v128.load(gate), v128.load(x)))
    const g1 = passed(v128.load(gradY, 16), gateSlope(v128.load(gate, 16), v128.load(x, 16)))
    v128.store(gradX, s0)
    v128.store(gradX, s1, 16)
    v128.store(gradGate, g0)
    v128.store(gradGate, g1, 16)
    x += 32
    gate += 32
    gradY += 32
    gradX += 32
    gradGate += 32
  }
  for (; i > 0; --i) {
    const g = v128.load_splat<f32>(gradY)
    const gateLane = v128.load_splat<f32>(gate)
    const xLane = v128.load_splat<f32>(x)
    v128.store_lane<f32>(gradX, passed(g, value(SILU, gateLane, none)), 0)
    v128.store_lane<f32>(gradGate, passed(g, gateSlope(gateLane, xLane)), 0)
    x += 4
    gate += 4
    gradY += 4
    gradX += 4
    gradGate += 4
  }
}

export function activationForward(kind: i32, x: usize, gate: usize, y: usize, count: i32, from: i32, to: i32): void {
  const offset = <usize>(from * ELEMENTS) << 2
  const some = min(to * ELEMENTS, count) - from * ELEMENTS
  x += offset
  gate += offset
  y += offset
  switch (kind) {
    case RELU: return forward(RELU, x, gate, y, some)
    case GELU: return forward(GELU, x, gate, y, some)
    case GELU_TANH: return forward(GELU_TANH, x, gate, y, some)
    case SILU: return forward(SILU, x, gate, y, some)
    default: return forward(SWIGLU, x, gate, y, some)
  }
}

export function activationBackward(
  kind: i32, x: usize, gate: usize, gradY: usize, gradX: usize, gradGate: usize, count: i32, from: i32, to: i32,
): void {
  const offset = <usize>(from * ELEMENTS) << 2
  const some = min(to * ELEMENTS, count) - from * ELEMENTS
  x += offset
  gradY += offset
  gradX += offset
  switch (kind) {
    case RELU: return backward(RELU, x, gradY, gradX, some)
    case GELU: return backward(GELU, x, gradY, gradX, some)
    case GELU_TANH: return backward(GELU_TANH, x, gradY, gradX, some)
    case SILU: return backward(SILU, x, gradY, gradX, some)
    default: return gatedBackward(x, gate + offset, gradY, gradX, gradGate + offset, some)
  }
}
