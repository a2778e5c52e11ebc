/**
 * Features by their logarithms, l = ln φ, where they or their products are out of the ordinary: states with scales, and rows that
 * are computed once more, element by element in float64. Formulas: op.ts, reference/.
 */
import { log } from '../../../wasm/assembly/elementary'
import { sumLanes } from '../../../wasm/assembly/lanes'
import { Call, PLAIN_LOG } from '../../../wasm/generated/linear-attention'
import { scalesOf, zOf } from './states'

/** What a feature must not exceed, by its logarithm. */
const LARGEST: f64 = <f64>PLAIN_LOG
/** e^−2·PLAIN_LOG, e^2·PLAIN_LOG */
const LEAST_SUM: f32 = 4.248354e-18
const LARGEST_SUM: f32 = 2.3538527e17
/** e^PLAIN_LOG − 1 */
const LARGEST_ELEMENT: f32 = 4.851652e8

/** l(x) = ln φ(x) */
export function logFeature(x: f32): f64 {
  return x > 0 ? log(1 + <f64>x) : <f64>x
}

/** φ′(x)/φ(x) */
export function slopeRatio(x: f32): f64 {
  return x > 0 ? 1 / (1 + <f64>x) : 1
}

// @ts-ignore: decorator
@inline
function exp(x: f64): f64 {
  // what is negligible beside the largest product, e⁰, need not be worked out
  return x < -100 ? 0 : NativeMath.exp(x)
}

/** Whether a row's sum is one to which nothing that matters can have been lost. */
export function isOrdinary(sum: f32): bool {
  return sum >= LEAST_SUM && sum <= LARGEST_SUM
}

/** The first of the rows with an element so large that its feature may meet one that is lost; `rows` where there is none. */
export function firstLarge(x: usize, rows: i32, dim: i32): i32 {
  if (!isLarge(x, rows * dim)) return rows
  let r = 0
  while (!isLarge(x + <usize>(r * dim << 2), dim)) ++r
  return r
}

/** Whether one of `count` elements is so large. */
export function isLarge(x: usize, count: i32): bool {
  let m0 = f32x4.splat(0)
  let m1 = m0
  for (; count >= 8; count -= 8) {
    m0 = f32x4.pmax(m0, v128.load(x))
    m1 = f32x4.pmax(m1, v128.load(x, 16))
    x += 32
  }
  let large = v128.any_true(f32x4.gt(f32x4.pmax(m0, m1), f32x4.splat(LARGEST_ELEMENT)))
  for (; count > 0; --count) {
    large = large || load<f32>(x) > LARGEST_ELEMENT
    x += 4
  }
  return large
}

/** into = exp(l(x) + m), rows of dimK elements, m their scales; −∞ counts as 0. */
export function scaledFeatures(call: Call, x: usize, rows: i32, scales: usize, into: usize): void {
  for (; rows > 0; --rows) {
    for (let d: usize = 0; d < <usize>call.dimK << 2; d += 4) {
      const m = load<f32>(scales + d)
      store<f32>(into, <f32>NativeMath.exp(logFeature(load<f32>(x)) + (m == -Infinity ? 0 : <f64>m)))
      x += 4
      into += 4
    }
  }
}

/** rows[r][d] *= exp(l(x) + m)·φ′(x)/φ(x) */
export function throughScaled(call: Call, rows: usize, x: usize, count: i32, scales: usize): void {
  for (; count > 0; --count) {
    for (let d: usize = 0; d < <usize>call.dimK << 2; d += 4) {
      const m = load<f32>(scales + d)
      const value = load<f32>(x)
      const factor = NativeMath.exp(logFeature(value) + (m == -Infinity ? 0 : <f64>m)) * slopeRatio(value)
      store<f32>(rows, <f32>(<f64>load<f32>(rows) * factor))
      rows += 4
      x += 4
    }
  }
}

/**
 * The scales of a chunk's state: in each dimension the largest l(x) − A of its rows, 0 where that is ordinary. `rowScale`: where
 * not 0, the rows' A. Whether any scale or A is other than 0.
 */
export function chunkScales(call: Call, x: usize, rows: i32, rowScale: usize, scales: usize): bool {
  let any = false
  for (let r: usize = 0; rowScale != 0 && r < <usize>rows; ++r) any = any || load<f32>(rowScale + (r << 2)) != 0
  const byRow = any
  const step = <usize>call.dimK << 2
  for (let d: usize = 0; d < step; ) {
    if (!byRow && d + 16 <= step && arePlain(x + d, step, rows)) {
      v128.store(scales + d, f32x4.splat(0))
      d += 16
      continue
    }
    let most: f64 = -Infinity
    for (let r: usize = 0; r < <usize>rows; ++r) {
      const a = byRow ? <f64>load<f32>(rowScale + (r << 2)) : 0
      most = max(most, logFeature(load<f32>(x + r * step + d)) - a)
    }
    const scaled = (most > LARGEST || most < -LARGEST) && most - most == 0
    store<f32>(scales + d, scaled ? <f32>most : 0)
    any = any || scaled
    d += 4
  }
  return any
}

/** Whether the largest of four columns have no scale. */
function arePlain(x: usize, step: usize, rows: i32): bool {
  let m = f32x4.splat(-Infinity)
  for (; rows > 0; --rows) {
    m = f32x4.pmax(m, v128.load(x))
    x += step
  }
  const within = v128.and(f32x4.ge(m, f32x4.splat(-<f32>PLAIN_LOG)), f32x4.le(m, f32x4.splat(LARGEST_ELEMENT)))
  return i32x4.all_true(within)
}

/** The scales of a chunk whose sums overflow: features become e⁻⁵ at most, less than 1/LINEAR_CHUNK. */
export function largerScales(call: Call, x: usize, rows: i32, rowScale: usize, scales: usize): void {
  const step = <usize>call.dimK << 2
  for (let d: usize = 0; d < step; d += 4) {
    let most: f64 = -Infinity
    for (let r: usize = 0; r < <usize>rows; ++r) {
      const a = rowScale ? <f64>load<f32>(rowScale + (r << 2)) : 0
      most = max(most, logFeature(load<f32>(x + r * step + d)) - a)
    }
    store<f32>(scales + d, most - most == 0 ? <f32>(most + 5) : 0)
  }
}

/** into = exp(l(x) − A − m) of a chunk's rows. */
export function chunkFeatures(call: Call, x: usize, rows: i32, rowScale: usize, scales: usize, into: usize): void {
  for (let r = 0; r < rows; ++r) {
    const a = rowScale ? <f64>load<f32>(rowScale + (<usize>r << 2)) : 0
    for (let d: usize = 0; d < <usize>call.dimK << 2; d += 4) {
      store<f32>(into, <f32>NativeMath.exp(logFeature(load<f32>(x)) - a - <f64>load<f32>(scales + d)))
      x += 4
      into += 4
    }
  }
}

/** The sum of exp(l(q_d) + l(k_d) − A) over d, each stored at `products`. */
function pairProducts(call: Call, q: usize, k: usize, scale: f64, products: usize): f64 {
  let sum: f64 = 0
  for (let d: usize = 0; d < <usize>call.dimK; ++d) {
    const product = exp(logFeature(load<f32>(q + (d << 2))) + logFeature(load<f32>(k + (d << 2))) - scale)
    store<f64>(products + (d << 3), product)
    sum += product
  }
  return sum
}

/** A: the largest product's logarithm, never 0; not finite where it means nothing. */
function largestProduct(call: Call, q: usize, state: usize, k: usize, keys: i32): f32 {
  const step = <usize>call.dimK << 2
  let largest: f64 = -Infinity
  for (let d: usize = 0; d < step; d += 4) {
    const l = logFeature(load<f32>(q + d))
    if (!(l - l == 0) && !(l == -Infinity)) return <f32>l
    let most = <f64>load<f32>(scalesOf(call, state) + d)
    for (let j: usize = 0; j < <usize>keys; ++j) most = max(most, logFeature(load<f32>(k + j * step + d)))
    largest = max(largest, l + most)
  }
  return largest == 0 ? <f32>7.888609e-31 : <f32>largest
}

/** exp(l(q_d) + m_d − A), 0 where nothing was summed. */
// @ts-ignore: decorator
@inline
function stateProduct(call: Call, q: usize, state: usize, d: usize, scale: f64): f64 {
  const m = load<f32>(scalesOf(call, state) + (d << 2))
  return m == -Infinity ? 0 : exp(logFeature(load<f32>(q + (d << 2))) + <f64>m - scale)
}

function addWide(into: usize, factor: f64, from: usize, dim: i32): void {
  for (let d: usize = 0; d < <usize>dim; ++d) {
    store<f64>(into + (d << 3), load<f64>(into + (d << 3)) + factor * <f64>load<f32>(from + (d << 2)))
  }
}

function dotWide(x: usize, y: usize, dim: i32): f64 {
  let sum: f64 = 0
  for (let d: usize = 0; d < <usize>dim << 2; d += 4) sum += <f64>load<f32>(x + d) * <f64>load<f32>(y + d)
  return sum
}

/** Output, normaliser and A of a row of `keys` keys one by one beside a state; nothing where there is no finite A. */
export function forwardRow(
  call: Call, q: usize, state: usize, k: usize, v: usize, keys: i32, output: usize, normaliser: usize, rowScale: usize,
): void {
  const scale = largestProduct(call, q, state, k, keys)
  if (!(scale - scale == 0)) return
  const sums = call.wideSums
  const products = sums + (<usize>call.dimV << 3)
  const row = <usize>call.dimV << 2
  memory.fill(sums, 0, row << 1)
  let total: f64 = 0
  for (let d: usize = 0; d < <usize>call.dimK; ++d) {
    const product = stateProduct(call, q, state, d, <f64>scale)
    if (product == 0) continue
    total += product * <f64>load<f32>(zOf(call, state) + (d << 2))
    addWide(sums, product, state + d * row, call.dimV)
  }
  for (let j: usize = 0; j < <usize>keys; ++j) {
    const weight = pairProducts(call, q, k + j * (<usize>call.dimK << 2), <f64>scale, products)
    total += weight
    addWide(sums, weight, v + j * row, call.dimV)
  }
  for (let e: usize = 0; e < <usize>call.dimV; ++e) store<f32>(output + (e << 2), <f32>(load<f64>(sums + (e << 3)) / total))
  store<f32>(normaliser, <f32>total)
  store<f32>(rowScale, scale)
}

/** The gradient of q of a row with a scale. */
export function backwardRow(
  call: Call, q: usize, state: usize, k: usize, v: usize, keys: i32, scaled: usize, c: f32, scale: f32, gradQ: usize,
): void {
  const products = call.wideSums
  const row = <usize>call.dimV << 2
  const step = <usize>call.dimK << 2
  for (let d: usize = 0; d < <usize>call.dimK; ++d) {
    const product = stateProduct(call, q, state, d, <f64>scale)
    const ofState = product == 0 ? 0 : dotWide(scaled, state + d * row, call.dimV) + <f64>load<f32>(zOf(call, state) + (d << 2)) * <f64>c
    store<f32>(gradQ + (d << 2), <f32>(product * ofState))
  }
  for (let j: usize = 0; j < <usize>keys; ++j) {
    pairProducts(call, q, k + j * step, <f64>scale, products)
    const weight = dotWide(scaled, v + j * row, call.dimV) + <f64>c
    for (let d: usize = 0; d < <usize>call.dimK; ++d) {
      const into = gradQ + (d << 2)
      store<f32>(into, <f32>(<f64>load<f32>(into) + weight * load<f64>(products + (d << 3))))
    }
  }
  for (let d: usize = 0; d < step; d += 4) {
    store<f32>(gradQ + d, <f32>(<f64>load<f32>(gradQ + d) * slopeRatio(load<f32>(q + d))))
  }
}

/** Adds what a row with a scale gives to the gradients of a key that it meets. */
export function backwardPair(
  call: Call, q: usize, k: usize, v: usize, scaled: usize, c: f32, scale: f32, gradK: usize, gradV: usize,
): void {
  const products = call.wideSums
  const sum = pairProducts(call, q, k, <f64>scale, products)
  if (gradV) {
    for (let e: usize = 0; e < <usize>call.dimV << 2; e += 4) {
      store<f32>(gradV + e, <f32>(<f64>load<f32>(gradV + e) + sum * <f64>load<f32>(scaled + e)))
    }
  }
  if (!gradK) return
  const weight = dotWide(scaled, v, call.dimV) + <f64>c
  for (let d: usize = 0; d < <usize>call.dimK; ++d) {
    const into = gradK + (d << 2)
    const gradient = weight * load<f64>(products + (d << 3)) * slopeRatio(load<f32>(k + (d << 2)))
    store<f32>(into, <f32>(<f64>load<f32>(into) + gradient))
  }
}

/** Whether `count` elements are all finite. */
export function areFinite(x: usize, count: i32): bool {
  const zero = f32x4.splat(0)
  let s0 = zero
  let s1 = zero
  let s2 = zero
  let s3 = zero
  for (; count >= 16; count -= 16) {
    // 0, or NaN once something is not finite
    s0 = f32x4.add(s0, f32x4.mul(v128.load(x), zero))
    s1 = f32x4.add(s1, f32x4.mul(v128.load(x, 16), zero))
    s2 = f32x4.add(s2, f32x4.mul(v128.load(x, 32), zero))
    s3 = f32x4.add(s3, f32x4.mul(v128.load(x, 48), zero))
    x += 64
  }
  let rest: f32 = 0
  for (; count > 0; --count) {
    rest += load<f32>(x) * 0
    x += 4
  }
  return sumLanes(f32x4.add(s0, s1), f32x4.add(s2, s3)) + rest == 0
}
