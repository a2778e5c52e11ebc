/**
 * Products of a few rows with a weight, as when a token is generated: what they take is the time for the weight to come from
 * memory. So it is read once and in order, where it stands, and not packed. Each element of the result is the same sum in the
 * same order as in the register tile (tile.ts): over the chunk's depth from 0 upwards, then (sum + bias) + base.
 */
import { madd } from '../../../wasm/assembly/lanes'
import { Product } from './product-state'
import { columnRun, elementAt } from './split-rows'

/** Rows of the weight that are read side by side, and the sums that go through each of them. */
const TOGETHER: i32 = 8

/** Row by row; the part of the weight that they have in common is in a cache from the second on. */
export function fewRows(p: Product, column: i32, columns: i32, k: i32, depth: i32): void {
  const first = k == 0
  const base = first ? p.residual : p.c
  const sums = p.columnPack
  const bRow = <usize>p.b.width << 2
  for (let row = 0; row < p.rows; ++row) {
    const x = joinedRow(p, row, k, depth)
    if (p.columnsAlong) rowAlong(x, elementAt(p.b, k, column), bRow, depth, columns, sums)
    else rowAcross(x, elementAt(p.b, column, k), bRow, depth, columns, sums)
    for (let c = 0; c < columns; ) {
      const run = columnRun(p.c, column + c, columns - c)
      const from = base.start ? elementAt(base, row, column + c) : 0
      const bias = first && p.bias != 0 ? p.bias + (<usize>(column + c) << 2) : 0
      finishRow(sums + (<usize>c << 2), bias, from, elementAt(p.c, row, column + c), run)
      c += run
    }
  }
}

/** A part of a row of x: where it stands, or copied where it stands split into heads. */
function joinedRow(p: Product, row: i32, k: i32, depth: i32): usize {
  if (columnRun(p.a, k, depth) == depth) return elementAt(p.a, row, k)
  for (let done = 0; done < depth; ) {
    const run = columnRun(p.a, k + done, depth - done)
    memory.copy(p.rowPack + (<usize>done << 2), elementAt(p.a, row, k + done), <usize>run << 2)
    done += run
  }
  return p.rowPack
}

/** c = (sum + bias) + base, where a 0 stands for zeros: adding them turns −0 into 0, as it does in a tile. */
function finishRow(sums: usize, bias: usize, base: usize, c: usize, columns: i32): void {
  const zero = f32x4.splat(0)
  let j: usize = 0
  const end = <usize>columns << 2
  for (; j + 16 <= end; j += 16) {
    const sum = f32x4.add(v128.load(sums + j), bias ? v128.load(bias + j) : zero)
    v128.store(c + j, f32x4.add(sum, base ? v128.load(base + j) : zero))
  }
  for (; j < end; j += 4) {
    const sum = load<f32>(sums + j) + (bias ? load<f32>(bias + j) : 0)
    store<f32>(c + j, sum + (base ? load<f32>(base + j) : 0))
  }
}

/** sums[columns] = Σ_p x[p]·b[p][…] for p < depth; b's rows are bRow bytes apart. */
function rowAlong(x: usize, b: usize, bRow: usize, depth: i32, columns: i32, sums: usize): void {
  memory.fill(sums, 0, <usize>columns << 2)
  for (; depth >= TOGETHER; depth -= TOGETHER) {
    addEight(x, b, bRow, columns, sums)
    x += TOGETHER * 4
    b += <usize>TOGETHER * bRow
  }
  for (; depth > 0; --depth) {
    addOne(x, b, columns, sums)
    x += 4
    b += bRow
  }
}

function addEight(x: usize, b0: usize, bRow: usize, columns: i32, sums: usize): void {
  const b1 = b0 + bRow
  const b2 = b1 + bRow
  const b3 = b2 + bRow
  const b4 = b3 + bRow
  const b5 = b4 + bRow
  const b6 = b5 + bRow
  const b7 = b6 + bRow
  const x0 = v128.load_splat<f32>(x)
  const x1 = v128.load_splat<f32>(x, 4)
  const x2 = v128.load_splat<f32>(x, 8)
  const x3 = v128.load_splat<f32>(x, 12)
  const x4 = v128.load_splat<f32>(x, 16)
  const x5 = v128.load_splat<f32>(x, 20)
  const x6 = v128.load_splat<f32>(x, 24)
  const x7 = v128.load_splat<f32>(x, 28)
  const end = <usize>columns << 2
  let j: usize = 0
  for (; j + 32 <= end; j += 32) {
    let low = v128.load(sums + j)
    let high = v128.load(sums + j, 16)
    low = madd(x0, v128.load(b0 + j), low)
    high = madd(x0, v128.load(b0 + j, 16), high)
    low = madd(x1, v128.load(b1 + j), low)
    high = madd(x1, v128.load(b1 + j, 16), high)
    low = madd(x2, v128.load(b2 + j), low)
    high = madd(x2, v128.load(b2 + j, 16), high)
    low = madd(x3, v128.load(b3 + j), low)
    high = madd(x3, v128.load(b3 + j, 16), high)
    low = madd(x4, v128.load(b4 + j), low)
    high = madd(x4, v128.load(b4 + j, 16), high)
    low = madd(x5, v128.load(b5 + j), low)
    high = madd(x5, v128.load(b5 + j, 16), high)
    low = madd(x6, v128.load(b6 + j), low)
    high = madd(x6, v128.load(b6 + j, 16), high)
    low = madd(x7, v128.load(b7 + j), low)
    high = madd(x7, v128.load(b7 + j, 16), high)
    v128.store(sums + j, high, 16)
    v128.store(sums + j, low)
  }
  // the last few columns lane by lane: the same operations
  for (; j < end; j += 4) {
    let sum = v128.load_splat<f32>(sums + j)
    sum = madd(x0, v128.load_splat<f32>(b0 + j), sum)
    sum = madd(x1, v128.load_splat<f32>(b1 + j), sum)
    sum = madd(x2, v128.load_splat<f32>(b2 + j), sum)
    sum = madd(x3, v128.load_splat<f32>(b3 + j), sum)
    sum = madd(x4, v128.load_splat<f32>(b4 + j), sum)
    sum = madd(x5, v128.load_splat<f32>(b5 + j), sum)
    sum = madd(x6, v128.load_splat<f32>(b6 + j), sum)
    sum = madd(x7, v128.load_splat<f32>(b7 + j), sum)
    store<f32>(sums + j, f32x4.extract_lane(sum, 0))
  }
}

function addOne(x: usize, b: usize, columns: i32, sums: usize): void {
  const x0 = v128.load_splat<f32>(x)
  const end = <usize>columns << 2
  let j: usize = 0
  for (; j + 16 <= end; j += 16) v128.store(sums + j, madd(x0, v128.load(b + j), v128.load(sums + j)))
  for (; j < end; j += 4) {
    const sum = madd(x0, v128.load_splat<f32>(b + j), v128.load_splat<f32>(sums + j))
    store<f32>(sums + j, f32x4.extract_lane(sum, 0))
  }
}

/** sums[columns] = Σ_p x[p]·b[…][p] for p < depth: a column of the result is a row of b, bRow bytes from the next. */
function rowAcross(x: usize, b: usize, bRow: usize, depth: i32, columns: i32, sums: usize): void {
  for (; columns >= 16; columns -= 16) {
    sixteenDots(x, b, bRow, depth, sums)
    b += bRow << 4
    sums += 64
  }
  for (; columns > 0; --columns) {
    let sum = f32x4.splat(0)
    for (let p: usize = 0; p < <usize>depth << 2; p += 4) {
      sum = madd(v128.load_splat<f32>(x + p), v128.load_splat<f32>(b + p), sum)
    }
    store<f32>(sums, f32x4.extract_lane(sum, 0))
    b += bRow
    sums += 4
  }
}

/** Sixteen rows of b at once, four by four turned in registers so that a lane belongs to a row and sums in the order of its elements. */
function sixteenDots(x: usize, b: usize, bRow: usize, depth: i32, sums: usize): void {
  let c0 = f32x4.splat(0)
  let c1 = f32x4.splat(0)
  let c2 = f32x4.splat(0)
  let c3 = f32x4.splat(0)
  const four = bRow << 2
  let p = depth
  for (; p >= 4; p -= 4) {
    const x0 = v128.load_splat<f32>(x)
    const x1 = v128.load_splat<f32>(x, 4)
    const x2 = v128.load_splat<f32>(x, 8)
    const x3 = v128.load_splat<f32>(x, 12)
    c0 = fourDots(b, bRow, x0, x1, x2, x3, c0)
    c1 = fourDots(b + four, bRow, x0, x1, x2, x3, c1)
    c2 = fourDots(b + 2 * four, bRow, x0, x1, x2, x3, c2)
    c3 = fourDots(b + 3 * four, bRow, x0, x1, x2, x3, c3)
    x += 16
    b += 16
  }
  for (; p > 0; --p) {
    const x0 = v128.load_splat<f32>(x)
    c0 = madd(x0, fourElements(b, bRow), c0)
    c1 = madd(x0, fourElements(b + four, bRow), c1)
    c2 = madd(x0, fourElements(b + 2 * four, bRow), c2)
    c3 = madd(x0, fourElements(b + 3 * four, bRow), c3)
    x += 4
    b += 4
  }
  v128.store(sums, c0)
  v128.store(sums, c1, 16)
  v128.store(sums, c2, 32)
  v128.store(sums, c3, 48)
}

// @ts-ignore: decorator
@inline
function fourDots(b: usize, bRow: usize, x0: v128, x1: v128, x2: v128, x3: v128, sum: v128): v128 {
  const r0 = v128.load(b)
  const r1 = v128.load(b + bRow)
  const r2 = v128.load(b + 2 * bRow)
  const r3 = v128.load(b + 3 * bRow)
  const low01 = v128.shuffle<f32>(r0, r1, 0, 4, 1, 5)
  const high01 = v128.shuffle<f32>(r0, r1, 2, 6, 3, 7)
  const low23 = v128.shuffle<f32>(r2, r3, 0, 4, 1, 5)
  const high23 = v128.shuffle<f32>(r2, r3, 2, 6, 3, 7)
  sum = madd(x0, v128.shuffle<i64>(low01, low23, 0, 2), sum)
  sum = madd(x1, v128.shuffle<i64>(low01, low23, 1, 3), sum)
  sum = madd(x2, v128.shuffle<i64>(high01, high23, 0, 2), sum)
  return madd(x3, v128.shuffle<i64>(high01, high23, 1, 3), sum)
}

// @ts-ignore: decorator
@inline
function fourElements(b: usize, bRow: usize): v128 {
  let four = v128.load_splat<f32>(b)
  four = v128.load_lane<f32>(b + bRow, four, 1)
  four = v128.load_lane<f32>(b + 2 * bRow, four, 2)
  return v128.load_lane<f32>(b + 3 * bRow, four, 3)
}
