/**
 * The register tile that every product is made of: 6 × NR sums, which fill the vector registers.
 *
 * A is read by splats, element by element, so it needs no packing: its rows and its elements may be any distance apart. B is
 * read NR contiguous columns at a time. A sum over the depth starts at 0 in registers and goes to C at the end.
 */
import { NR, madd } from './lanes'
import { TILE_ROW } from './score-tile'

/** Markers for what becomes of C: the product is added to it, or replaces it. */
export type Add = f32
export type Set = i32

/**
 * One row of a finished register tile into C. Both loads of a pair come before either store, because V8 fuses a pair
 * only where nothing is written in between; and the upper half is stored first, because otherwise it leaves the lower
 * half's store behind beside the fused one.
 */
// @ts-ignore: decorator
@inline
function finishRow<E>(c: usize, factor: v128, c0: v128, c1: v128, c2: v128, c3: v128): void {
  const s0 = isFloat<E>() ? madd(factor, c0, v128.load(c)) : f32x4.mul(factor, c0)
  const s1 = isFloat<E>() ? madd(factor, c1, v128.load(c, 16)) : f32x4.mul(factor, c1)
  v128.store(c, s1, 16)
  v128.store(c, s0)
  if (NR == 16) {
    const s2 = isFloat<E>() ? madd(factor, c2, v128.load(c, 32)) : f32x4.mul(factor, c2)
    const s3 = isFloat<E>() ? madd(factor, c3, v128.load(c, 48)) : f32x4.mul(factor, c3)
    v128.store(c, s3, 48)
    v128.store(c, s2, 32)
  }
}

/**
 * How A is read. `Columns` and `Rows` are the two directions of a score tile: from an element of A to that of the next row it
 * is a constant number of bytes, so one pointer does. `Strided` is a matrix whose rows are aRow bytes apart and whose
 * elements are neighbours, with as many rows as there are: beyond the last, the last is read again.
 */
export type Columns = f32
export type Rows = i32
export type Strided = i64

// @ts-ignore: decorator
@inline
function tileRow<L>(): usize {
  return isFloat<L>() ? 4 : TILE_ROW
}

// @ts-ignore: decorator
@inline
function isStrided<L>(): bool {
  return sizeof<L>() == 8
}

/**
 * C[6×NR] = or += factor · A[6×depth] · B[depth×NR]; depth ≥ 1. A's element (r, p) is at a + r·aRow + p·aStep (for `Strided`
 * aStep is 4 and bRow NR·4, otherwise aRow and height mean nothing), B's row p at b + p·bRow, C's row r at c + r·cRow (bytes). `factor` is
 * an address: the loop needs every vector register there is (12 sums, 2 of B, 1 splat; V8 keeps the sixteenth), and a factor
 * held in one would push a sum into memory.
 */
export function registerTile<L, E>(
  a: usize,
  aRow: usize,
  height: i32,
  aStep: usize,
  b: usize,
  bRow: usize,
  depth: i32,
  c: usize,
  cRow: usize,
  factor: usize,
): void {
  const a1 = height > 1 ? a + aRow : a
  const a2 = height > 2 ? a1 + aRow : a1
  const a3 = height > 3 ? a2 + aRow : a2
  const a4 = height > 4 ? a3 + aRow : a3
  const a5 = height > 5 ? a4 + aRow : a4
  // one offset added to six addresses, not six pointers moved on: each of those would cost V8 a second instruction
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
    let x = v128.load_splat<f32>(isStrided<L>() ? a + p : a)
    c00 = madd(x, b0, c00)
    c01 = madd(x, b1, c01)
    if (NR == 16) {
      c02 = madd(x, b2, c02)
      c03 = madd(x, b3, c03)
    }
    x = isStrided<L>() ? v128.load_splat<f32>(a1 + p) : v128.load_splat<f32>(a, tileRow<L>())
    c10 = madd(x, b0, c10)
    c11 = madd(x, b1, c11)
    if (NR == 16) {
      c12 = madd(x, b2, c12)
      c13 = madd(x, b3, c13)
    }
    x = isStrided<L>() ? v128.load_splat<f32>(a2 + p) : v128.load_splat<f32>(a, 2 * tileRow<L>())
    c20 = madd(x, b0, c20)
    c21 = madd(x, b1, c21)
    if (NR == 16) {
      c22 = madd(x, b2, c22)
      c23 = madd(x, b3, c23)
    }
    x = isStrided<L>() ? v128.load_splat<f32>(a3 + p) : v128.load_splat<f32>(a, 3 * tileRow<L>())
    c30 = madd(x, b0, c30)
    c31 = madd(x, b1, c31)
    if (NR == 16) {
      c32 = madd(x, b2, c32)
      c33 = madd(x, b3, c33)
    }
    x = isStrided<L>() ? v128.load_splat<f32>(a4 + p) : v128.load_splat<f32>(a, 4 * tileRow<L>())
    c40 = madd(x, b0, c40)
    c41 = madd(x, b1, c41)
    if (NR == 16) {
      c42 = madd(x, b2, c42)
      c43 = madd(x, b3, c43)
    }
    x = isStrided<L>() ? v128.load_splat<f32>(a5 + p) : v128.load_splat<f32>(a, 5 * tileRow<L>())
    c50 = madd(x, b0, c50)
    c51 = madd(x, b1, c51)
    if (NR == 16) {
      c52 = madd(x, b2, c52)
      c53 = madd(x, b3, c53)
    }
    if (isStrided<L>()) p += 4
    else a += aStep
    b += isStrided<L>() ? NR * 4 : bRow
  } while (--depth)
  const f = v128.load_splat<f32>(factor)
  finishRow<E>(c, f, c00, c01, c02, c03)
  c += cRow
  finishRow<E>(c, f, c10, c11, c12, c13)
  c += cRow
  finishRow<E>(c, f, c20, c21, c22, c23)
  c += cRow
  finishRow<E>(c, f, c30, c31, c32, c33)
  c += cRow
  finishRow<E>(c, f, c40, c41, c42, c43)
  c += cRow
  finishRow<E>(c, f, c50, c51, c52, c53)
}

