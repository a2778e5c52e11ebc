/**
 * The products once more, pair by pair, for tensors that hold NaN or ∞: a pair that is not attended must not even be
 * multiplied by its weight 0, because 0·NaN is NaN; an attended one must.
 */
import { Call } from '../../../wasm/generated/attention'
import { madd } from '../../../wasm/assembly/lanes'
import { FORWARD_BLOCK, TILE_ROW } from '../../../wasm/assembly/score-tile'
import { keyRow, queryRow } from './rows'

/**
 * to[0 … dim) += factor·Σ_n tile[n]·b[n] over the `count` pairs that are attended: tile's elements tileStep bytes apart, those of
 * `attended` attendedStep, b's rows bRow. Summed as a register tile sums (register-tile.ts), to the same bits.
 */
function addAttended(
  tile: usize, tileStep: usize, attended: usize, attendedStep: usize, count: i32, b: usize, bRow: usize, dim: i32,
  to: usize, factor: f32,
): void {
  const f = f32x4.splat(factor)
  for (let d = 0; d < dim; d += 4) {
    const at = <usize>d << 2
    const whole = d + 4 <= dim
    if (whole) v128.store(to + at, madd(f, sumAttended(tile, tileStep, attended, attendedStep, count, b + at, bRow, true), v128.load(to + at)))
    for (let x = d; !whole && x < dim; ++x) {
      const place = <usize>x << 2
      const sum = sumAttended(tile, tileStep, attended, attendedStep, count, b + place, bRow, false)
      store<f32>(to + place, f32x4.extract_lane(madd(f, sum, v128.load_splat<f32>(to + place)), 0))
    }
  }
}

/** Four columns of the sum, or one of them in every lane. */
function sumAttended(
  tile: usize, tileStep: usize, attended: usize, attendedStep: usize, count: i32, b: usize, bRow: usize, four: bool,
): v128 {
  let sum = f32x4.splat(0)
  for (let n: usize = 0; n < <usize>count; ++n) {
    if (!load<u8>(attended + n * attendedStep)) continue
    const at = b + n * bRow
    sum = madd(v128.load_splat<f32>(tile + n * tileStep), four ? v128.load(at) : v128.load_splat<f32>(at), sum)
  }
  return sum
}

/** Rows of queries at `result`: result[r] += factor·Σ_j tile[r][j]·b[j] over the attended pairs, b rows of keys; `dim` elements each. */
export function attendedRowsProduct(
  call: Call, tile: usize, rows: i32, keys: i32, b: usize, dim: i32, result: usize, factor: f32,
): void {
  const bRow = keyRow(call, dim)
  const step = queryRow(call, dim)
  for (let r: usize = 0; r < <usize>rows; ++r) {
    const attended = call.attended + r * <usize>FORWARD_BLOCK
    addAttended(tile + r * TILE_ROW, 4, attended, 1, keys, b, bRow, dim, result + r * step, factor)
  }
}

/** Rows of keys at `result`: result[j] += Σ_r tile[r][j]·b[r] over the attended pairs, b's rows side by side. */
export function attendedColumnsProduct(
  call: Call, tile: usize, rows: i32, keys: i32, b: usize, dim: i32, result: usize,
): void {
  const bRow = <usize>dim << 2
  const step = keyRow(call, dim)
  for (let j: usize = 0; j < <usize>keys; ++j) {
    const attended = call.attended + j
    addAttended(tile + (j << 2), TILE_ROW, attended, <usize>FORWARD_BLOCK, rows, b, bRow, dim, result + j * step, 1)
  }
}
