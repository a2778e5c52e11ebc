/**
 * The memory-bound kernels around attention in passes, as their plain counterparts in `elementwise/parts.ts` and
 * `elementwise/lsh.ts` say; the buckets are the same to the last bit.
 */

/** y[p, h, t] = x[h, order[p, h, t]] for rows of so many bytes, a multiple of 4. */
export function gatherRows(
  x: usize, order: usize, y: usize, heads: i32, rows: i32, rowBytes: usize, from: i32, to: i32,
): void {
  for (let row = from; row < to; ++row) {
    const head = (row / rows) % heads
    const index = head * rows + load<i32>(order + (<usize>row << 2))
    let source = x + <usize>index * rowBytes
    let into = y + <usize>row * rowBytes
    const end = into + rowBytes
    for (const last = into + (rowBytes & ~31); into < last; into += 32) {
      const low = v128.load(source)
      const high = v128.load(source, 16)
      v128.store(into, high, 16)
      v128.store(into, low)
      source += 32
    }
    for (; into < end; into += 4) {
      store<f32>(into, load<f32>(source))
      source += 4
    }
  }
}

/** y[h, i] = Σ_p parts[p, h, ranks[p, h, i]] for rows of dim elements. */
export function sumParts(
  x: usize, ranks: usize, y: usize, parts: i32, heads: i32, rows: i32, dim: i32, from: i32, to: i32,
): void {
  const rowBytes = <usize>dim << 2
  const all = heads * rows
  for (let row = from; row < to; ++row) {
    const firstOfHead = row - (row % rows)
    const into = y + <usize>row * rowBytes
    memory.fill(into, 0, rowBytes)
    for (let p = 0; p < parts; ++p) {
      const rank = load<i32>(ranks + (<usize>(p * all + row) << 2))
      const part = x + <usize>(p * all + firstOfHead + rank) * rowBytes
      let at: usize = 0
      for (; at + 16 <= rowBytes; at += 16) {
        v128.store(into + at, f32x4.add(v128.load(into + at), v128.load(part + at)))
      }
      for (; at < rowBytes; at += 4) store<f32>(into + at, load<f32>(into + at) + load<f32>(part + at))
    }
  }
}

/**
 * buckets[round, row] from the rows of x and the rotations [rounds, dim, columns]; `factors` of so many digits, `products`
 * room for float64 [columns]. A multiplication and an addition each, never fused: every variant hashes alike.
 */
export function lshBuckets(
  x: usize, rotations: usize, buckets: usize, rows: i32, rounds: i32, dim: i32, columns: i32,
  factor0: i32, factor1: i32, products: usize, from: i32, to: i32,
): void {
  for (let row = from; row < to; ++row) {
    const at = x + ((<usize>row * <usize>dim) << 2)
    for (let round = 0; round < rounds; ++round) {
      project(at, rotations + ((<usize>round * <usize>dim * <usize>columns) << 3), dim, columns, products)
      let bucket = digit(products, factor0 >> 1)
      if (factor1) bucket = bucket * factor1 + digit(products + (<usize>(factor0 >> 1) << 3), factor1 >> 1)
      store<i32>(buckets + ((<usize>round * <usize>rows + <usize>row) << 2), bucket)
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

/** argmax [p; −p] of so many products: the first of equals, and never a NaN. */
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
