/**
 * The register tile of products with weights: C = A·B + bias + base, 6 × NR, A packed.
 *
 * The loop is the one of wasm/assembly/register-tile.ts; what differs is the end: the attention products scale and add to what is there, these
 * add a row that repeats (the bias) and a matrix that may stand elsewhere (a residual, or C itself).
 */
import { NR, madd } from '../../../wasm/assembly/lanes'

/** One row of the result: (sum + bias) + base. */
// @ts-ignore: decorator
@inline
function finishRow(c: usize, base: usize, bias: usize, c0: v128, c1: v128, c2: v128, c3: v128): void {
  // loads before stores, and the upper half first, for V8 to fuse the pair (register-tile.ts)
  const s0 = f32x4.add(f32x4.add(c0, v128.load(bias)), v128.load(base))
  const s1 = f32x4.add(f32x4.add(c1, v128.load(bias, 16)), v128.load(base, 16))
  v128.store(c, s1, 16)
  v128.store(c, s0)
  if (NR == 16) {
    const s2 = f32x4.add(f32x4.add(c2, v128.load(bias, 32)), v128.load(base, 32))
    const s3 = f32x4.add(f32x4.add(c3, v128.load(bias, 48)), v128.load(base, 48))
    v128.store(c, s3, 48)
    v128.store(c, s2, 32)
  }
}

/** How A stands: packed [depth][6], or as rows aRow bytes apart, `height` of them (beyond the last, the last is read again). */
export type Packed = f32
export type InPlace = i64

// @ts-ignore: decorator
@inline
function inPlace<L>(): bool {
  return sizeof<L>() == 8
}

/**
 * C[6×NR] = A·B + bias + base; depth ≥ 1. B's row p is at b + p·bRow, bias [NR]; C's row r is at c + r·cRow and base's at
 * base + r·baseRow (bytes; 0 repeats one row).
 */
export function linearTile<L>(
  a: usize,
  aRow: usize,
  height: i32,
  b: usize,
  bRow: usize,
  depth: i32,
  bias: usize,
  base: usize,
  baseRow: usize,
  c: usize,
  cRow: usize,
): void {
  const a1 = height > 1 ? a + aRow : a
  const a2 = height > 2 ? a1 + aRow : a1
  const a3 = height > 3 ? a2 + aRow : a2
  const a4 = height > 4 ? a3 + aRow : a3
  const a5 = height > 5 ? a4 + aRow : a4
  // one offset added to six addresses (register-tile.ts)
  let p: usize = 0
  let c00 = f32x4.splat(0), c01 = f32x4.splat(0), c02 = f32x4.splat(0), c03 = f32x4.splat(0)
  let c10 = f32x4.splat(0), c11 = f32x4.splat(0), c12 = f32x4.splat(0), c13 = f32x4.splat(0)
  let c20 = f32x4.splat(0), c21 = f32x4.splat(0), c22 = f32x4.splat(0), c23 = f32x4.splat(0)
  let c30 = f32x4.splat(0), c31 = f32x4.splat(0), c32 = f32x4.splat(0), c33 = f32x4.splat(0)
  let c40 = f32x4.splat(0), c41 = f32x4.splat(0), c42 = f32x4.splat(0), c43 = f32x4.splat(0)
  let c50 = f32x4.splat(0), c51 = f32x4.splat(0), c52 = f32x4.splat(0), c53 = f32x4.splat(0)
  do {
    const b0 = v128.load(b)
    const b1 = v128.load(b, 16)
    const b2 = NR == 16 ? v128.load(b, 32) : b0
    const b3 = NR == 16 ? v128.load(b, 48) : b1
    let x = v128.load_splat<f32>(inPlace<L>() ? a + p : a)
    c00 = madd(x, b0, c00)
    c01 = madd(x, b1, c01)
    if (NR == 16) {
      c02 = madd(x, b2, c02)
      c03 = madd(x, b3, c03)
    }
    x = inPlace<L>() ? v128.load_splat<f32>(a1 + p) : v128.load_splat<f32>(a, 4)
    c10 = madd(x, b0, c10)
    c11 = madd(x, b1, c11)
    if (NR == 16) {
      c12 = madd(x, b2, c12)
      c13 = madd(x, b3, c13)
    }
    x = inPlace<L>() ? v128.load_splat<f32>(a2 + p) : v128.load_splat<f32>(a, 8)
    c20 = madd(x, b0, c20)
    c21 = madd(x, b1, c21)
    if (NR == 16) {
      c22 = madd(x, b2, c22)
      c23 = madd(x, b3, c23)
    }
    x = inPlace<L>() ? v128.load_splat<f32>(a3 + p) : v128.load_splat<f32>(a, 12)
    c30 = madd(x, b0, c30)
    c31 = madd(x, b1, c31)
    if (NR == 16) {
      c32 = madd(x, b2, c32)
      c33 = madd(x, b3, c33)
    }
    x = inPlace<L>() ? v128.load_splat<f32>(a4 + p) : v128.load_splat<f32>(a, 16)
    c40 = madd(x, b0, c40)
    c41 = madd(x, b1, c41)
    if (NR == 16) {
      c42 = madd(x, b2, c42)
      c43 = madd(x, b3, c43)
    }
    x = inPlace<L>() ? v128.load_splat<f32>(a5 + p) : v128.load_splat<f32>(a, 20)
    c50 = madd(x, b0, c50)
    c51 = madd(x, b1, c51)
    if (NR == 16) {
      c52 = madd(x, b2, c52)
      c53 = madd(x, b3, c53)
    }
    if (inPlace<L>()) p += 4
    else a += 24
    b += bRow
  } while (--depth)
  finishRow(c, base, bias, c00, c01, c02, c03)
  c += cRow
  base += baseRow
  finishRow(c, base, bias, c10, c11, c12, c13)
  c += cRow
  base += baseRow
  finishRow(c, base, bias, c20, c21, c22, c23)
  c += cRow
  base += baseRow
  finishRow(c, base, bias, c30, c31, c32, c33)
  c += cRow
  base += baseRow
  finishRow(c, base, bias, c40, c41, c42, c43)
  c += cRow
  base += baseRow
  finishRow(c, base, bias, c50, c51, c52, c53)
}
