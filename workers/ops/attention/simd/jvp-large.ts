/**
 * Rows of doutput = Σ z·dp·v + z·p·dv once more, in float64, where a sum overflows although the result does not: values may be large
 * where what their weights lose and gain cancels. Which rows are formed again, hangs on the row alone: on whether what came out of
 * float32 is finite. A pair that is not attended is skipped; what is not finite by rights comes out as it was.
 */
import { Call } from '../../../wasm/generated/attention'
import { dropTiles, formTiles, packKeyPanels, scoresMove } from './jvp-scores'
import { weighTangents } from './jvp-tile'
import { addScaled, beginOf, endOf, isSkipped, sumsRow } from './large-values'
import { FORWARD_BLOCK, QUERY_TILE, TILE_ROW } from '../../../wasm/assembly/score-tile'
import { PER_TILE } from './online-softmax'
import { Place } from './place'
import { NOTHING, rangesOf } from './visibility'

/** The rows of the t'th query tile, whose sums are known. */
export function largeTangents(call: Call, place: Place, t: i32): void {
  const at = <usize>place.head * <usize>call.queries + <usize>place.row
  const rows = largeRows(call, at, place.rows)
  if (rows == 0) return
  const lane = <usize>t * PER_TILE
  const reach = call.tileKeys + (<usize>t << 3)
  for (let part = 0; part < call.dimV; part += call.depth) {
    const depth = min(call.dimV - part, call.depth)
    memory.fill(call.largeSums, 0, <usize>QUERY_TILE * sumsRow(call))
    const first = (load<i32>(reach) / FORWARD_BLOCK) * FORWARD_BLOCK
    for (place.key = first; place.key < load<i32>(reach, 4); place.key += FORWARD_BLOCK) {
      place.keys = min(FORWARD_BLOCK, call.keys - place.key)
      const common = call.common + (<usize>t << 3)
      const seen = rangesOf(
        call, place.rows, place.key, FORWARD_BLOCK, call.rowFrom + lane, call.rowTo + lane, common,
      )
      if (seen == NOTHING) continue
      const key = <usize>place.kvHead * <usize>call.keys + <usize>place.key
      packKeyPanels(call, place, key)
      formTiles(call, place, t, key, at, seen)
      if (scoresMove(call)) weighTangents(call, place, lane)
      addBlock(call, place, rows, key, part, depth)
    }
    for (let r: usize = 0; r < <usize>place.rows; ++r) {
      if (!(rows & (1 << <u32>r))) continue
      const sums = call.largeSums + r * sumsRow(call)
      const output = call.tangentOutput + (((at + r) * <usize>call.dimV + <usize>part) << 2)
      for (let d: usize = 0; d < <usize>depth; ++d) store<f32>(output + (d << 2), <f32>load<f64>(sums + (d << 3)))
    }
  }
}

/** Rows of tangentOutput that are not finite, a bit each. */
function largeRows(call: Call, at: usize, rows: i32): u32 {
  let found: u32 = 0
  let from = call.tangentOutput + ((at * <usize>call.dimV) << 2)
  for (let r = 0; r < rows; ++r) {
    // 0, or NaN once something is not finite
    let none = f32x4.splat(0)
    let d = call.dimV
    for (; d >= 4; d -= 4) {
      none = f32x4.add(none, f32x4.mul(v128.load(from), f32x4.splat(0)))
      from += 16
    }
    let sum = f32x4.extract_lane(none, 0) + f32x4.extract_lane(none, 1) + f32x4.extract_lane(none, 2) + f32x4.extract_lane(none, 3)
    for (; d > 0; --d) {
      sum += load<f32>(from) * 0
      from += 4
    }
    if (sum != 0) found |= 1 << <u32>r
  }
  return found
}

/** Adds a block's z·dp·v and z·p·dv to the rows' sums. */
function addBlock(call: Call, place: Place, rows: u32, key: usize, part: i32, depth: i32): void {
  if (call.dropout) dropTiles(call, place)
  const vRow = <usize>call.dimV << 2
  const values = key * vRow + (<usize>part << 2)
  for (let r = 0; r < place.rows; ++r) {
    if (!(rows & (1 << <u32>r))) continue
    const into = call.largeSums + <usize>r * sumsRow(call)
    for (let j = beginOf(call, r), end = endOf(call, place, r); j < end; ++j) {
      if (isSkipped(call, r, j)) continue
      const element = <usize>r * TILE_ROW + (<usize>j << 2)
      const value = values + <usize>j * vRow
      if (scoresMove(call)) addScaled(into, <f64>load<f32>(call.gradTile + element), call.v + value, depth)
      if (call.tangentV) addScaled(into, <f64>load<f32>(call.tile + element), call.tangentV + value, depth)
    }
  }
}
