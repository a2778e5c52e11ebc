/**
 * The products once more, pair by pair, for tensors that hold NaN or ∞: a pair that is not attended must not even be
 * multiplied by its weight 0, because 0·NaN is NaN; an attended one must.
 */
import { Call } from '../../../wasm/generated/attention'
import { FORWARD_BLOCK, TILE_ROW } from '../../../wasm/assembly/score-tile'

/** to[0 … dim) += factor·from[0 … dim) */
function addScaled(to: usize, factor: f32, from: usize, dim: i32): void {
  for (let d = 0; d < dim; ++d) {
    const at = <usize>d << 2
    store<f32>(to + at, load<f32>(to + at) + factor * load<f32>(from + at))
  }
}

/** result[r] += Σ_j tile[r][j]·b[j] over the attended pairs; rows of b and result have `dim` elements. */
export function attendedRowsProduct(call: Call, tile: usize, rows: i32, keys: i32, b: usize, dim: i32, result: usize): void {
  const step = <usize>dim << 2
  for (let r = 0; r < rows; ++r) {
    for (let j = 0; j < keys; ++j) {
      if (!load<u8>(call.attended + <usize>(r * FORWARD_BLOCK + j))) continue
      const factor = load<f32>(tile + <usize>r * TILE_ROW + (<usize>j << 2))
      addScaled(result + <usize>r * step, factor, b + <usize>j * step, dim)
    }
  }
}

/** result[j] += Σ_r tile[r][j]·b[r] over the attended pairs. */
export function attendedColumnsProduct(call: Call, tile: usize, rows: i32, keys: i32, b: usize, dim: i32, result: usize): void {
  const step = <usize>dim << 2
  for (let r = 0; r < rows; ++r) {
    for (let j = 0; j < keys; ++j) {
      if (!load<u8>(call.attended + <usize>(r * FORWARD_BLOCK + j))) continue
      const factor = load<f32>(tile + <usize>r * TILE_ROW + (<usize>j << 2))
      addScaled(result + <usize>j * step, factor, b + <usize>r * step, dim)
    }
  }
}
