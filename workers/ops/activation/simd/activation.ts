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
import { madd } from '../../../wasm/assembly/lanes'
import { Call, ELEMENT_BLOCK, KIND_GELU, KIND_GELU_TANH, KIND_RELU, KIND_SILU } from '../../../wasm/generated/activation'

/** Markers of the functions, told apart by their sizes at compile time: each has a loop of its own, without a branch. */
type Relu = i8
type Gelu = i16
type GeluTanh = i32
type Silu = i64

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
function bell(x: v128): v128 {
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
function value<F>(x: v128): v128 {
  if (sizeof<F>() == sizeof<Relu>()) return f32x4.pmax(x, constant(ZERO)) // NaN where x is NaN
  if (sizeof<F>() == sizeof<Gelu>()) return times(x, cumulative(x, bell(x)))
  if (sizeof<F>() == sizeof<GeluTanh>()) return timesSigmoid(x, twiceInner(x))
  return timesSigmoid(x, x)
}

// @ts-ignore: decorator
@inline
function slope<F>(x: v128): v128 {
  if (sizeof<F>() == sizeof<Relu>()) {
    const positive = v128.bitselect(constant(ONE), x, f32x4.gt(x, constant(ZERO))) // NaN where x is NaN
    return v128.andnot(positive, f32x4.le(x, constant(ZERO)))
  }
  if (sizeof<F>() == sizeof<Gelu>()) {
    const e = bell(x)
    return f32x4.add(cumulative(x, e), times(x, f32x4.mul(e, constant(DENSITY))))
  }
  if (sizeof<F>() == sizeof<GeluTanh>()) {
    const slopeOfInner = madd(f32x4.mul(x, x), constant(CUBIC_SLOPE), constant(SCALE))
    return sigmoidSlope(f32x4.mul(x, slopeOfInner), twiceInner(x))
  }
  return sigmoidSlope(x, x)
}

/** g·factor, 0 where g is 0. */
// @ts-ignore: decorator
@inline
function passed(g: v128, factor: v128): v128 {
  return f32x4.mul(v128.andnot(factor, f32x4.eq(g, constant(ZERO))), g)
}

// The loops take eight elements at a time, then one by one: a lane's arithmetic is the same wherever it stands. Of a pair of stores
// the upper half comes first (see LADDER.md).

function forward<F>(x: usize, y: usize, count: i32): void {
  for (; count >= 8; count -= 8) {
    const y0 = value<F>(v128.load(x))
    const y1 = value<F>(v128.load(x, 16))
    v128.store(y, y1, 16)
    v128.store(y, y0)
    x += 32
    y += 32
  }
  for (; count > 0; --count) {
    v128.store_lane<f32>(y, value<F>(v128.load_splat<f32>(x)), 0)
    x += 4
    y += 4
  }
}

function gatedForward(x: usize, gate: usize, y: usize, count: i32): void {
  for (; count >= 8; count -= 8) {
    const y0 = f32x4.mul(value<Silu>(v128.load(gate)), v128.load(x))
    const y1 = f32x4.mul(value<Silu>(v128.load(gate, 16)), v128.load(x, 16))
    v128.store(y, y1, 16)
    v128.store(y, y0)
    x += 32
    gate += 32
    y += 32
  }
  for (; count > 0; --count) {
    v128.store_lane<f32>(y, f32x4.mul(value<Silu>(v128.load_splat<f32>(gate)), v128.load_splat<f32>(x)), 0)
    x += 4
    gate += 4
    y += 4
  }
}

function backward<F>(x: usize, gradY: usize, gradX: usize, count: i32): void {
  for (; count >= 8; count -= 8) {
    const g0 = passed(v128.load(gradY), slope<F>(v128.load(x)))
    const g1 = passed(v128.load(gradY, 16), slope<F>(v128.load(x, 16)))
    v128.store(gradX, g1, 16)
    v128.store(gradX, g0)
    x += 32
    gradY += 32
    gradX += 32
  }
  for (; count > 0; --count) {
    v128.store_lane<f32>(gradX, passed(v128.load_splat<f32>(gradY), slope<F>(v128.load_splat<f32>(x))), 0)
    x += 4
    gradY += 4
    gradX += 4
  }
}

// @ts-ignore: decorator
@inline
function gateSlope(gate: v128, x: v128): v128 {
  return f32x4.mul(slope<Silu>(gate), x)
}

/** gradX = silu(gate)·gradY, gradGate = silu′(gate)·x·gradY */
function gatedBackward(x: usize, gate: usize, gradY: usize, gradX: usize, gradGate: usize, count: i32): void {
  for (; count >= 8; count -= 8) {
    const s0 = passed(v128.load(gradY), value<Silu>(v128.load(gate)))
    const s1 = passed(v128.load(gradY, 16), value<Silu>(v128.load(gate, 16)))
    const g0 = passed(v128.load(gradY), gateSlope(v128.load(gate), v128.load(x)))
    const g1 = passed(v128.load(gradY, 16), gateSlope(v128.load(gate, 16), v128.load(x, 16)))
    v128.store(gradX, s1, 16)
    v128.store(gradX, s0)
    v128.store(gradGate, g1, 16)
    v128.store(gradGate, g0)
    x += 32
    gate += 32
    gradY += 32
    gradX += 32
    gradGate += 32
  }
  for (; count > 0; --count) {
    const g = v128.load_splat<f32>(gradY)
    const gateLane = v128.load_splat<f32>(gate)
    const xLane = v128.load_splat<f32>(x)
    v128.store_lane<f32>(gradX, passed(g, value<Silu>(gateLane)), 0)
    v128.store_lane<f32>(gradGate, passed(g, gateSlope(gateLane, xLane)), 0)
    x += 4
    gate += 4
    gradY += 4
    gradX += 4
    gradGate += 4
  }
}

export function activationForward(call: Call, from: i32, to: i32): void {
  const first = from * ELEMENT_BLOCK
  const count = min(to * ELEMENT_BLOCK, call.count) - first
  const offset = <usize>first << 2
  const x = call.x + offset
  const y = call.y + offset
  switch (call.kind) {
    case KIND_RELU: return forward<Relu>(x, y, count)
    case KIND_GELU: return forward<Gelu>(x, y, count)
    case KIND_GELU_TANH: return forward<GeluTanh>(x, y, count)
    case KIND_SILU: return forward<Silu>(x, y, count)
    default: return gatedForward(x, call.gate + offset, y, count)
  }
}

export function activationBackward(call: Call, from: i32, to: i32): void {
  const first = from * ELEMENT_BLOCK
  const count = min(to * ELEMENT_BLOCK, call.count) - first
  const offset = <usize>first << 2
  const x = call.x + offset
  const gradY = call.gradY + offset
  const gradX = call.gradX + offset
  switch (call.kind) {
    case KIND_RELU: return backward<Relu>(x, gradY, gradX, count)
    case KIND_GELU: return backward<Gelu>(x, gradY, gradX, count)
    case KIND_GELU_TANH: return backward<GeluTanh>(x, gradY, gradX, count)
    case KIND_SILU: return backward<Silu>(x, gradY, gradX, count)
    default: return gatedBackward(x, call.gate + offset, gradY, gradX, call.gradGate + offset, count)
  }
}
