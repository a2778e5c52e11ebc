/**
 * The gradient of a float mask, which is added to the capped score:
 *
 *   gradMask[e] = Σ ∂L/∂s over the attended pairs (b, h, i, j) that read element e
 *
 * gradMask [maskBatch, maskHeads, maskQueries, maskKeys], each extent the full one or 1 (broadcast: summed over). A unit
 * is 24 rows of the mask; it writes them whole, going through batches, heads, query tiles and key blocks in ascending
 * order and summing each tile first. Where the mask is −∞, the weight and so the gradient is 0.
 * Biases by distance are summed likewise, each pair's gradient where its distance stands.
 * Formulas and hazards: gradient-tile.ts. delta is computed again (into tileMax), so that units are independent.
 */
import { packKeys, scoreGradients } from './backward'
import { Call } from '../../../wasm/generated/attention'
import { writeConstants } from './exponentials'
import { deltaTile } from './gradient-tile'
import { KEY_BLOCK, QUERY_TILE, TILE_ROW } from '../../../wasm/assembly/score-tile'
import { Place, placeOf } from './place'
import { NOTHING, groupRanges, rowIntervals, shiftOf } from './visibility'

export function attentionMaskGradient(call: Call, from: i32, to: i32): void {
  const place = placeOf(call)
  writeConstants(call)
  const tiles = (call.maskQueries + QUERY_TILE - 1) / QUERY_TILE
  for (let unit = from; unit < to; ++unit) {
    const head = unit / tiles
    const first = (unit - head * tiles) * QUERY_TILE
    const rows = min(QUERY_TILE, call.maskQueries - first)
    const maskRow = <usize>call.maskKeys << 2
    const grad = call.gradMask + (<usize>head * <usize>call.maskQueries + <usize>first) * maskRow
    memory.fill(grad, 0, <usize>rows * maskRow)

    const b = head / call.maskHeads
    const h = head % call.maskHeads
    const beginB = call.maskBatch == 1 ? 0 : b
    const endB = call.maskBatch == 1 ? call.batch : b + 1
    const beginH = call.maskHeads == 1 ? 0 : h
    const endH = call.maskHeads == 1 ? call.heads : h + 1
    const beginRow = call.maskQueries == 1 ? 0 : first
    const endRow = call.maskQueries == 1 ? call.queries : first + rows
    for (place.b = beginB; place.b < endB; ++place.b) {
      for (place.h = beginH; place.h < endH; ++place.h) {
        place.head = place.b * call.heads + place.h
        place.kvHead = place.b * call.kvHeads + place.h / (call.heads / call.kvHeads)
        for (place.row = beginRow; place.row < endRow; place.row += QUERY_TILE) {
          place.rows = min(QUERY_TILE, endRow - place.row)
          addTiles(call, place, grad, false)
        }
      }
    }
  }
}

/**
 * The gradient of biases by distance: gradDistances[part, h, x] = Σ ∂L/∂s over the attended pairs (b, h, i, j) with i in the part and
 * j − aligned i − firstDistance = x, in float64. A unit is one (part, h); it goes through batches, query tiles and key blocks in
 * ascending order.
 */
export function attentionDistanceGradient(call: Call, from: i32, to: i32): void {
  const place = placeOf(call)
  writeConstants(call)
  const tiles = (call.queries + QUERY_TILE - 1) / QUERY_TILE
  const rows = QUERY_TILE * ((tiles + call.parts - 1) / call.parts)
  const size = <usize>call.distances << 3
  for (let unit = from; unit < to; ++unit) {
    const part = unit / call.heads
    place.h = unit % call.heads
    const grad = call.gradDistances + <usize>unit * size
    if (!call.further) memory.fill(grad, 0, size)
    for (place.b = 0; place.b < call.batch; ++place.b) {
      place.head = place.b * call.heads + place.h
      place.kvHead = place.b * call.kvHeads + place.h / (call.heads / call.kvHeads)
      const endRow = min((part + 1) * rows, call.queries)
      for (place.row = part * rows; place.row < endRow; place.row += QUERY_TILE) {
        place.rows = min(QUERY_TILE, endRow - place.row)
        addTiles(call, place, grad, true)
      }
    }
  }
}

/** Adds the gradients of one query tile's scores to those of a mask, or of biases by distance. */
function addTiles(call: Call, place: Place, grad: usize, byDistance: bool): void {
  const at = <usize>place.head * <usize>call.queries + <usize>place.row
  deltaTile(call, place, at, call.tileMax)
  const seen = rowIntervals(call, place.b, place.h, place.row, place.rows, call.rowFrom, call.rowTo, call.common)
  const end = <i32>(seen >> 32)
  for (place.key = (<i32>seen / KEY_BLOCK) * KEY_BLOCK; place.key < end; place.key += KEY_BLOCK) {
    place.keys = min(KEY_BLOCK, call.keys - place.key)
    const visible = groupRanges(call, place.rows, place.key, call.rowFrom, call.rowTo, call.common)
    if (visible == NOTHING) continue
    packKeys(call, place)
    scoreGradients(call, place, at, call.tileMax, visible, true)
    if (byDistance) {
      addDistances(call, place, grad)
      continue
    }
    if (call.maskQueries == 1) foldRows(call.gradTile, place.rows)
    addTile(call, place, call.maskQueries == 1 ? 1 : place.rows, grad)
  }
}

/** Adds each row of the tile where its distances stand. Pairs that are not attended are 0 in the tile. */
function addDistances(call: Call, place: Place, grad: usize): void {
  const shift = shiftOf(call, place.b)
  for (let r = 0; r < place.rows; ++r) {
    const from = call.gradTile + <usize>r * TILE_ROW
    const into = grad + (<usize>(place.key - (place.row + r + shift) - call.firstDistance) << 3)
    for (let j: usize = 0; j < <usize>place.keys; ++j) {
      store<f64>(into + (j << 3), load<f64>(into + (j << 3)) + <f64>load<f32>(from + (j << 2)))
    }
  }
}

/** Row 0 of the tile becomes the sum of its rows. */
function foldRows(tile: usize, rows: i32): void {
  for (let r = 1; r < rows; ++r) {
    const row = tile + <usize>r * TILE_ROW
    for (let j: usize = 0; j < TILE_ROW; j += 16) {
      v128.store(tile + j, f32x4.add(v128.load(tile + j), v128.load(row + j)))
    }
  }
}

/** Adds `rows` rows of the tile to rows of the mask's gradient. Pairs that are not attended are 0 in the tile. */
function addTile(call: Call, place: Place, rows: i32, grad: usize): void {
  const maskRow = <usize>call.maskKeys << 2
  for (let r: usize = 0; r < <usize>rows; ++r) {
    const from = call.gradTile + r * TILE_ROW
    if (call.maskKeys == 1) {
      let sum: f64 = 0
      for (let j: usize = 0; j < <usize>place.keys; ++j) sum += <f64>load<f32>(from + (j << 2))
      const into = grad + r * maskRow
      store<f32>(into, <f32>(<f64>load<f32>(into) + sum))
    } else {
      const into = grad + r * maskRow + (<usize>place.key << 2)
      for (let j: usize = 0; j < <usize>place.keys; ++j) {
        store<f32>(into + (j << 2), load<f32>(into + (j << 2)) + load<f32>(from + (j << 2)))
      }
    }
  }
}
