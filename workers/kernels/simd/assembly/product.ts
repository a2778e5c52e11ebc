/**
 * The products that everything is made of: C += factor·A·B in register tiles of 6 × NR.
 *
 * A is read by splats, element by element, so it needs no packing beyond a constant distance between its rows: it is
 * either a score tile read along its rows (`Rows`), or anything whose rows are neighbours in memory, i.e. a transposed
 * pack or a score tile read along its columns (`Columns`). B is read NR contiguous columns at a time. A sum over the
 * depth starts at 0 in registers and is added to C at the end: sums over blocks are formed blockwise.
 */
import { BLOCK, MR, NR, TILE_ROW, madd } from './lanes'

/** Markers for the two ways of reading A; they select the constants below and never exist as values. */
export type Columns = f32
export type Rows = i32

/** Markers for what becomes of C: the product is added to it, or replaces it. */
type Add = f32
type Set = i32

/** Bytes between two rows of A. */
// @ts-ignore: decorator
@inline
function aRow<L>(): usize {
  return isFloat<L>() ? 4 : TILE_ROW
}

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
 * C[6×NR] = or += factor · A[6×depth] · B[depth×NR]; depth ≥ 1. A's element (r, p) is at a + r·aRow + p·aStep, B's row p at
 * b + p·bRow, C's row r at c + r·cRow (bytes). `factor` is an address: the loop needs every vector register there is
 * (12 sums, 2 of B, 1 splat; V8 keeps the sixteenth), and a factor held in one would push a sum into memory.
 */
function registerTile<L, E>(
  a: usize,
  aStep: usize,
  b: usize,
  bRow: usize,
  depth: i32,
  c: usize,
  cRow: usize,
  factor: usize,
): void {
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
    let x = v128.load_splat<f32>(a)
    c00 = madd(x, b0, c00)
    c01 = madd(x, b1, c01)
    if (NR == 16) {
      c02 = madd(x, b2, c02)
      c03 = madd(x, b3, c03)
    }
    x = v128.load_splat<f32>(a, aRow<L>())
    c10 = madd(x, b0, c10)
    c11 = madd(x, b1, c11)
    if (NR == 16) {
      c12 = madd(x, b2, c12)
      c13 = madd(x, b3, c13)
    }
    x = v128.load_splat<f32>(a, 2 * aRow<L>())
    c20 = madd(x, b0, c20)
    c21 = madd(x, b1, c21)
    if (NR == 16) {
      c22 = madd(x, b2, c22)
      c23 = madd(x, b3, c23)
    }
    x = v128.load_splat<f32>(a, 3 * aRow<L>())
    c30 = madd(x, b0, c30)
    c31 = madd(x, b1, c31)
    if (NR == 16) {
      c32 = madd(x, b2, c32)
      c33 = madd(x, b3, c33)
    }
    x = v128.load_splat<f32>(a, 4 * aRow<L>())
    c40 = madd(x, b0, c40)
    c41 = madd(x, b1, c41)
    if (NR == 16) {
      c42 = madd(x, b2, c42)
      c43 = madd(x, b3, c43)
    }
    x = v128.load_splat<f32>(a, 5 * aRow<L>())
    c50 = madd(x, b0, c50)
    c51 = madd(x, b1, c51)
    if (NR == 16) {
      c52 = madd(x, b2, c52)
      c53 = madd(x, b3, c53)
    }
    a += aStep
    b += bRow
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

/**
 * The score tile T[24×96] = factor · A · B, or += where not `fresh` (`factor` an address): A a transposed pack [depth][24], B in panels [96/NR][depth][NR]. Only the
 * register tiles that meet a row group's range of columns are computed.
 */
export function packedProduct(a: usize, b: usize, depth: i32, ranges: usize, groups: i32, tile: usize, factor: usize, fresh: bool): void {
  for (let column = 0; column < BLOCK; column += NR) {
    for (let group = 0; group < groups; ++group) {
      const range = ranges + (<usize>group << 3)
      if (column + NR <= load<i32>(range) || column >= load<i32>(range, 4)) continue
      const c = tile + <usize>(group * MR) * TILE_ROW + (<usize>column << 2)
      const from = a + <usize>(group * MR) * 4
      if (fresh) registerTile<Columns, Set>(from, 96, b, NR * 4, depth, c, TILE_ROW, factor)
      else registerTile<Columns, Add>(from, 96, b, NR * 4, depth, c, TILE_ROW, factor)
    }
    b += <usize>depth * (NR * 4)
  }
}

/**
 * C[rows×columns] += A[rows×depth] · B[depth×columns], C and B in place with any row length. A has whole groups of six
 * rows (what stands in the surplus ones is dropped); `one` is the address of a 1; `edge` is the last columns % NR columns of B, packed [depth][NR]
 * and padded with zeros. `ranges`, where not 0, gives each row group the part of the depth it needs.
 */
export function product<L>(
  a: usize,
  aStep: usize,
  rows: i32,
  b: usize,
  bRow: usize,
  edge: usize,
  columns: i32,
  depth: i32,
  ranges: usize,
  c: usize,
  cRow: usize,
  spare: usize,
  one: usize,
): void {
  for (let column = 0; column < columns; column += NR) {
    const width = min(columns - column, NR)
    const panel = width < NR ? edge : b + (<usize>column << 2)
    const panelRow: usize = width < NR ? <usize>(NR * 4) : bRow
    let begin = 0
    let end = depth
    for (let row = 0; row < rows; row += MR) {
      if (ranges) {
        const range = ranges + (<usize>(row / MR) << 3)
        begin = load<i32>(range)
        end = min(load<i32>(range, 4), depth)
      }
      if (begin >= end) continue
      const from = a + <usize>row * aRow<L>() + <usize>begin * aStep
      const panelFrom = panel + <usize>begin * panelRow
      const into = c + <usize>row * cRow + (<usize>column << 2)
      const height = min(rows - row, MR)
      if (height == MR && width == NR) {
        registerTile<L, Add>(from, aStep, panelFrom, panelRow, end - begin, into, cRow, one)
      } else {
        memory.fill(spare, 0, MR * NR * 4)
        registerTile<L, Add>(from, aStep, panelFrom, panelRow, end - begin, spare, NR * 4, one)
        addCorner(spare, height, width, into, cRow)
      }
    }
  }
}

/** C[height×width] += the corner of a register tile. */
function addCorner(spare: usize, height: i32, width: i32, c: usize, cRow: usize): void {
  for (let r = 0; r < height; ++r) {
    for (let x: usize = 0, end = <usize>width << 2; x < end; x += 4) {
      store<f32>(c + x, load<f32>(c + x) + load<f32>(spare + x))
    }
    c += cRow
    spare += NR * 4
  }
}
