/**
 * The arithmetic of normalised rows, x̂ = (x − μ)/r, for norms and for query-key norms. Everything up to the rounding of the
 * result is float64, which costs little where memory is what a row waits for.
 */
import { high, low, narrow, total } from './doubles'

/** Σ x */
export function sumOf(x: usize, dim: i32): f64 {
  let s0 = f64x2.splat(0)
  let s1 = f64x2.splat(0)
  let d = dim
  for (; d >= 4; d -= 4) {
    const v = v128.load(x)
    s0 = f64x2.add(s0, low(v))
    s1 = f64x2.add(s1, high(v))
    x += 16
  }
  let sum = total(s0, s1)
  for (; d > 0; --d) {
    sum += load<f32>(x)
    x += 4
  }
  return sum
}

/** Σ (x − μ)² */
export function squaresOf(x: usize, dim: i32, mean: f64): f64 {
  const mu = f64x2.splat(mean)
  let s0 = f64x2.splat(0)
  let s1 = f64x2.splat(0)
  let d = dim
  for (; d >= 4; d -= 4) {
    const v = v128.load(x)
    const c0 = f64x2.sub(low(v), mu)
    const c1 = f64x2.sub(high(v), mu)
    s0 = f64x2.add(s0, f64x2.mul(c0, c0))
    s1 = f64x2.add(s1, f64x2.mul(c1, c1))
    x += 16
  }
  let sum = total(s0, s1)
  for (; d > 0; --d) {
    const c = <f64>load<f32>(x) - mean
    sum += c * c
    x += 4
  }
  return sum
}

/** y = x̂·gamma + beta, `inverse` being 1/r */
export function scaleRow(x: usize, gamma: usize, beta: usize, y: usize, dim: i32, mean: f64, inverse: f64): void {
  const mu = f64x2.splat(mean)
  const factor = f64x2.splat(inverse)
  let d: usize = 0
  const end = <usize>dim << 2
  for (; d + 16 <= end; d += 16) {
    const v = v128.load(x + d)
    let u = narrow(f64x2.mul(f64x2.sub(low(v), mu), factor), f64x2.mul(f64x2.sub(high(v), mu), factor))
    if (gamma) u = f32x4.mul(u, v128.load(gamma + d))
    if (beta) u = f32x4.add(u, v128.load(beta + d))
    v128.store(y + d, u)
  }
  for (; d < end; d += 4) {
    let u = <f32>((<f64>load<f32>(x + d) - mean) * inverse)
    if (gamma) u *= load<f32>(gamma + d)
    if (beta) u += load<f32>(beta + d)
    store<f32>(y + d, u)
  }
}

export function isZero(x: usize, dim: i32): bool {
  const zero = f32x4.splat(0)
  let d = dim
  for (; d >= 4; d -= 4) {
    if (v128.any_true(f32x4.ne(v128.load(x), zero))) return false
    x += 16
  }
  for (; d > 0; --d) {
    if (load<f32>(x) != 0) return false
    x += 4
  }
  return true
}

/** gradY·gamma of four lanes, and of one element, as float64. */
// @ts-ignore: decorator
@inline
function lowGradient(g: v128, gamma: usize): v128 {
  return gamma ? f64x2.mul(low(g), low(v128.load(gamma))) : low(g)
}

// @ts-ignore: decorator
@inline
function highGradient(g: v128, gamma: usize): v128 {
  return gamma ? f64x2.mul(high(g), high(v128.load(gamma))) : high(g)
}

// @ts-ignore: decorator
@inline
function oneGradient(gradY: usize, gamma: usize): f64 {
  return gamma ? <f64>load<f32>(gradY) * <f64>load<f32>(gamma) : <f64>load<f32>(gradY)
}

/** Σ g */
export function gradientSum(gamma: usize, gradY: usize, dim: i32): f64 {
  if (!gamma) return sumOf(gradY, dim)
  let s0 = f64x2.splat(0)
  let s1 = f64x2.splat(0)
  let d = dim
  for (; d >= 4; d -= 4) {
    const g = v128.load(gradY)
    s0 = f64x2.add(s0, lowGradient(g, gamma))
    s1 = f64x2.add(s1, highGradient(g, gamma))
    gradY += 16
    gamma += 16
  }
  let sum = total(s0, s1)
  for (; d > 0; --d) {
    sum += oneGradient(gradY, gamma)
    gradY += 4
    gamma += 4
  }
  return sum
}

/** Σ g·x̂ */
export function gradientAlong(x: usize, gamma: usize, gradY: usize, dim: i32, mean: f64, inverse: f64): f64 {
  const mu = f64x2.splat(mean)
  const step: usize = gamma ? 1 : 0
  let s0 = f64x2.splat(0)
  let s1 = f64x2.splat(0)
  let d = dim
  for (; d >= 4; d -= 4) {
    const v = v128.load(x)
    const g = v128.load(gradY)
    s0 = f64x2.add(s0, f64x2.mul(lowGradient(g, gamma), f64x2.sub(low(v), mu)))
    s1 = f64x2.add(s1, f64x2.mul(highGradient(g, gamma), f64x2.sub(high(v), mu)))
    x += 16
    gradY += 16
    gamma += step << 4
  }
  let sum = total(s0, s1)
  for (; d > 0; --d) {
    sum += oneGradient(gradY, gamma) * (<f64>load<f32>(x) - mean)
    x += 4
    gradY += 4
    gamma += step << 2
  }
  return sum * inverse
}

/** gradX = (g − m(g) − x̂·m(g·x̂))/r + residual */
export function gradientRow(
  x: usize, gamma: usize, gradY: usize, residual: usize, gradX: usize,
  dim: i32, mean: f64, inverse: f64, meanGradient: f64, along: f64,
): void {
  const mu = f64x2.splat(mean)
  const factor = f64x2.splat(inverse)
  const shift = f64x2.splat(meanGradient)
  const slope = f64x2.splat(along * inverse)
  let d: usize = 0
  const end = <usize>dim << 2
  for (; d + 16 <= end; d += 16) {
    const v = v128.load(x + d)
    const g = v128.load(gradY + d)
    const gammaAt = gamma ? gamma + d : 0
    const g0 = f64x2.sub(f64x2.sub(lowGradient(g, gammaAt), shift), f64x2.mul(f64x2.sub(low(v), mu), slope))
    const g1 = f64x2.sub(f64x2.sub(highGradient(g, gammaAt), shift), f64x2.mul(f64x2.sub(high(v), mu), slope))
    let result = narrow(f64x2.mul(g0, factor), f64x2.mul(g1, factor))
    if (residual) result = f32x4.add(result, v128.load(residual + d))
    v128.store(gradX + d, result)
  }
  for (; d < end; d += 4) {
    const g = oneGradient(gradY + d, gamma ? gamma + d : 0)
    let result = <f32>((g - meanGradient - (<f64>load<f32>(x + d) - mean) * (along * inverse)) * inverse)
    if (residual) result += load<f32>(residual + d)
    store<f32>(gradX + d, result)
  }
}
