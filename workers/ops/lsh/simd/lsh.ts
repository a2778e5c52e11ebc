/** The buckets are those of `reference.ts` to the last bit. */
import { Call } from '../../../wasm/generated/lsh'

/**
 * buckets[round, row] from the rows of x and the rotations [rounds, dim, columns]; digits of `factor0` and, where it
 * is not 0, `factor1`; `products` has room for float64 [columns]. A multiplication and an addition each, never fused: every variant hashes alike.
 */
export function lshBuckets(call: Call, from: i32, to: i32): void {
  const rows = call.rows
  const dim = call.dim
  const columns = call.columns
  const factor0 = call.factor0
  const factor1 = call.factor1
  const products = call.products
  for (let row = from; row < to; ++row) {
    const at = call.x + ((<usize>row * <usize>dim) << 2)
    for (let round = 0; round < call.rounds; ++round) {
      project(at, call.rotations + ((<usize>round * <usize>dim * <usize>columns) << 3), dim, columns, products)
      let bucket = digit(products, factor0 >> 1)
      if (factor1) bucket = bucket * factor1 + digit(products + (<usize>(factor0 >> 1) << 3), factor1 >> 1)
      store<i32>(call.buckets + ((<usize>round * <usize>rows + <usize>row) << 2), bucket)
    }
  }
}

/** products[c] = Σ_d x[d]·rotation[d, c] in float64, eight columns at a time. */
function project(x: usize, rotation: usize, dim: i32, columns: i32, products: usize): void {
  const step = <usize>columns << 3
  let c = 0
  for (; c + 8 <= columns; c += 8) {
    let s0 = f64x2.splat(0), s1 = f64x2.splat(0), s2 = f64x2.splat(0), s3 = f64x2.splat(0)
    let r = rotation + (<usize>c << 3)
    for (let d: usize = 0; d < <usize>dim << 2; d += 4) {
      const value = f64x2.splat(<f64>load<f32>(x + d))
      s0 = f64x2.add(s0, f64x2.mul(value, v128.load(r)))
      s1 = f64x2.add(s1, f64x2.mul(value, v128.load(r, 16)))
      s2 = f64x2.add(s2, f64x2.mul(value, v128.load(r, 32)))
      s3 = f64x2.add(s3, f64x2.mul(value, v128.load(r, 48)))
      r += step
    }
    const into = products + (<usize>c << 3)
    v128.store(into, s1, 16)
    v128.store(into, s0)
    v128.store(into, s3, 48)
    v128.store(into, s2, 32)
  }
  for (; c < columns; ++c) {
    let sum: f64 = 0
    let r = rotation + (<usize>c << 3)
    for (let d: usize = 0; d < <usize>dim << 2; d += 4) {
      sum += <f64>load<f32>(x + d) * load<f64>(r)
      r += step
    }
    store<f64>(products + (<usize>c << 3), sum)
  }
}

/** argmax [p; −p] of the products: the first of equals, and never a NaN. */
function digit(products: usize, half: i32): i32 {
  let best = 0
  let largest = load<f64>(products)
  for (let c = 1; c < half; ++c) {
    const value = load<f64>(products + (<usize>c << 3))
    if (value > largest) {
      largest = value
      best = c
    }
  }
  for (let c = 0; c < half; ++c) {
    const value = -load<f64>(products + (<usize>c << 3))
    if (value > largest) {
      largest = value
      best = half + c
    }
  }
  return best
}
