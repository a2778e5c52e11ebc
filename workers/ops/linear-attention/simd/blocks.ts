/**
 * What the kernels of linear attention are made of: features φ, a product with a state, and the pairs of one block.
 *
 * Formulas and their source: reference/.
 */
import { exp } from '../../../wasm/assembly/elementary'
import { MR, madd, sumLanes } from '../../../wasm/assembly/lanes'
import { KEY_BLOCK, QUERY_TILE, TILE_ROW, fill } from '../../../wasm/assembly/score-tile'
import { Call } from '../../../wasm/generated/linear-attention'
import { oneOf } from './states'
import { packEdge, packPanels, packTransposed } from '../../../wasm/assembly/pack'
import { Add, Columns, Rows, product, scoreProduct } from '../../../wasm/assembly/product'

// @ts-ignore: decorator
@inline
function feature(x: v128): v128 {
  const zero = f32x4.splat(0)
  return v128.bitselect(f32x4.add(x, f32x4.splat(1)), exp(x), f32x4.gt(x, zero))
}

// @ts-ignore: decorator
@inline
function slope(x: v128): v128 {
  return v128.bitselect(f32x4.splat(1), exp(x), f32x4.gt(x, f32x4.splat(0)))
}

/** into = φ(from), φ(x) = x + 1 for x > 0, eˣ otherwise; `count` elements. */
export function features(from: usize, count: i32, into: usize): void {
  for (; count >= 8; count -= 8) {
    const f0 = feature(v128.load(from))
    const f1 = feature(v128.load(from, 16))
    v128.store(into, f0)
    v128.store(into, f1, 16)
    from += 32
    into += 32
  }
  for (; count > 0; --count) {
    store<f32>(into, f32x4.extract_lane(feature(v128.load32_splat(from)), 0))
    from += 4
    into += 4
  }
}

/** gradient ⊙= φ′(x) for `count` elements; 0 stays 0 whatever x is. */
export function throughFeatures(gradient: usize, x: usize, count: i32): void {
  const zero = f32x4.splat(0)
  for (; count >= 4; count -= 4) {
    const g = v128.load(gradient)
    v128.store(gradient, v128.andnot(f32x4.mul(g, slope(v128.load(x))), f32x4.eq(g, zero)))
    gradient += 16
    x += 16
  }
  for (; count > 0; --count) {
    const g = load<f32>(gradient)
    if (g != 0) store<f32>(gradient, g * f32x4.extract_lane(slope(v128.load32_splat(x)), 0))
    gradient += 4
    x += 4
  }
}

/** Rows of dim elements become rows of dim + 1: the last is the row's number at `last`, or 1 where that is 0. */
export function extend(from: usize, rows: i32, dim: i32, last: usize, into: usize): void {
  const row = <usize>dim << 2
  for (; rows > 0; --rows) {
    memory.copy(into, from, row)
    into += row
    store<f32>(into, last ? load<f32>(last) : 1)
    into += 4
    from += row
    if (last) last += 4
  }
}

/** Rows' features, or others, transposed tile by tile. */
export function packTiles(from: usize, rows: i32, dim: i32, pack: usize): void {
  const row = <usize>dim << 2
  for (let r = 0; r < rows; r += QUERY_TILE) {
    packTransposed(from + <usize>r * row, row, min(QUERY_TILE, rows - r), dim, pack + <usize>r * row, QUERY_TILE)
  }
}

/** Sᵀ with z below it, from a state. */
export function transposeState(call: Call, state: usize): void {
  const into = call.stateTransposed
  const z = (<usize>call.dimK * <usize>call.dimV) << 2
  if (call.dimK % 4 == 0) {
    packTransposed(state, <usize>call.dimV << 2, call.dimK, call.dimV, into, call.dimK)
  } else {
    for (let d = 0; d < call.dimK; ++d) {
      for (let e = 0; e < call.dimV; ++e) {
        const value = load<f32>(state + (<usize>(d * call.dimV + e) << 2))
        store<f32>(into + (<usize>(e * call.dimK + d) << 2), value)
      }
    }
  }
  memory.copy(into + z, state + z, <usize>call.dimK << 2)
}

/** result[rows × columns] += X·state: X packed by tiles [4][depth][24], state [depth][columns]. */
export function addState(
  call: Call, pack: usize, rows: i32, depth: i32, state: usize, columns: i32, result: usize,
): void {
  const row = <usize>columns << 2
  packEdge(state, depth, columns, call.stateEdge)
  for (let r = 0; r < rows; r += QUERY_TILE) {
    product<Columns, Add>(
      pack + ((<usize>r * <usize>depth) << 2), 96, min(QUERY_TILE, rows - r), state, row, call.stateEdge, columns, depth,
      0, result + <usize>r * row, row, call.spare, oneOf(call),
    )
  }
}

/**
 * result[rows × columns] += A·Z with A = X·Yᵀ within each row's [rowFrom, rowTo) and 0 elsewhere: X [rows][depth], Y
 * [others][depth] and Z [others][columns], at most 96 rows each. Adds A's row sums to rowSums, where `sums`.
 */
export function addBlock(
  call: Call, x: usize, rows: i32, depth: i32, y: usize, others: i32, z: usize, columns: i32, result: usize,
  sums: bool,
): void {
  const row = <usize>columns << 2
  packPanels(y, <usize>depth << 2, others, depth, call.columnPack)
  packEdge(z, others, columns, call.blockEdge)
  for (let first = 0; first < rows; first += QUERY_TILE) {
    const count = min(QUERY_TILE, rows - first)
    if (!tileRanges(call, first, count)) continue
    const xRow = <usize>depth << 2
    scoreProduct(x + <usize>first * xRow, xRow, count, call.columnPack, depth, call.ranges, call.tile, oneOf(call), true)
    for (let r = 0; r < count; ++r) keepPaired(call, first, r, sums)
    const into = result + <usize>first * row
    if (call.nonFinite) {
      for (let r = 0; r < count; ++r) addPairs(call, first, r, z, columns, into + <usize>r * row)
    } else {
      product<Rows, Add>(
        call.tile, 4, count, z, row, call.blockEdge, columns, others, call.ranges, into, row, call.spare, oneOf(call),
      )
    }
  }
}

/** The columns that each group of six rows needs, widened to multiples of 16; whether any does. */
function tileRanges(call: Call, first: i32, count: i32): bool {
  let any = false
  for (let group = 0; group * MR < QUERY_TILE; ++group) {
    let begin = KEY_BLOCK
    let end = 0
    for (let r = group * MR; r < min(count, group * MR + MR); ++r) {
      const at = <usize>(first + r) << 2
      const from = load<i32>(call.rowFrom + at)
      const to = load<i32>(call.rowTo + at)
      if (from >= to) continue
      begin = min(begin, from)
      end = max(end, to)
    }
    const range = call.ranges + (<usize>group << 3)
    store<i32>(range, begin < end ? begin & ~15 : 0)
    store<i32>(range, begin < end ? (end + 15) & ~15 : 0, 4)
    any = any || begin < end
  }
  return any
}

/** Zeros outside of what row r of the tile pairs with; its sum. */
function keepPaired(call: Call, first: i32, r: i32, sums: bool): void {
  const range = call.ranges + (<usize>(r / MR) << 3)
  const begin = load<i32>(range)
  const end = load<i32>(range, 4)
  const at = <usize>(first + r) << 2
  const row = call.tile + <usize>r * TILE_ROW
  fill(row, begin, min(load<i32>(call.rowFrom + at), end), 0)
  fill(row, max(load<i32>(call.rowTo + at), begin), end, 0)
  if (!sums || begin >= end) return
  let s0 = f32x4.splat(0)
  let s1 = f32x4.splat(0)
  for (let j = <usize>begin << 2, last = <usize>end << 2; j < last; j += 32) {
    s0 = f32x4.add(s0, v128.load(row + j))
    s1 = f32x4.add(s1, v128.load(row + j, 16))
  }
  store<f32>(call.rowSums + at, load<f32>(call.rowSums + at) + sumLanes(s0, s1))
}

/** Where inputs are non-finite: pair by pair, because what a row does not pair with may be NaN, and 0·NaN is NaN. */
function addPairs(call: Call, first: i32, r: i32, z: usize, columns: i32, result: usize): void {
  const at = <usize>(first + r) << 2
  for (let j = load<i32>(call.rowFrom + at); j < load<i32>(call.rowTo + at); ++j) {
    const factor = load<f32>(call.tile + <usize>r * TILE_ROW + (<usize>j << 2))
    addScaled(result, factor, z + ((<usize>j * <usize>columns) << 2), columns)
  }
}

/** into += factor·from, `dim` elements. */
export function addScaled(into: usize, factor: f32, from: usize, dim: i32): void {
  const f = f32x4.splat(factor)
  for (; dim >= 4; dim -= 4) {
    v128.store(into, madd(f, v128.load(from), v128.load(into)))
    into += 16
    from += 16
  }
  for (; dim > 0; --dim) {
    store<f32>(into, load<f32>(into) + factor * load<f32>(from))
    into += 4
    from += 4
  }
}

/** x·y of `dim` elements. */
export function dotRows(x: usize, y: usize, dim: i32): f32 {
  let s0 = f32x4.splat(0)
  let s1 = f32x4.splat(0)
  for (; dim >= 8; dim -= 8) {
    s0 = madd(v128.load(x), v128.load(y), s0)
    s1 = madd(v128.load(x, 16), v128.load(y, 16), s1)
    x += 32
    y += 32
  }
  let sum = sumLanes(s0, s1)
  for (; dim > 0; --dim) {
    sum += load<f32>(x) * load<f32>(y)
    x += 4
    y += 4
  }
  return sum
}

/** row /= divisor. */
export function divide(row: usize, dim: i32, divisor: f32): void {
  const f = f32x4.splat(divisor)
  for (; dim >= 4; dim -= 4) {
    v128.store(row, f32x4.div(v128.load(row), f))
    row += 16
  }
  for (; dim > 0; --dim) {
    store<f32>(row, load<f32>(row) / divisor)
    row += 4
  }
}
