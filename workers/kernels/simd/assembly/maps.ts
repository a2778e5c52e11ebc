/**
 * The maps [batch, heads, queries, keys] of query tiles, each when asked for:
 *
 *   scores = scale·q·k for every pair      maskedScores = what the softmax sees, −∞ where not attended
 *   weights = exp(maskedScores − logsumexp), 0 where not attended      droppedWeights = z·weights
 *
 * Hazard: −∞ − logsumexp may be NaN: whatever is −∞ has weight 0. What no map asks for is not computed: without
 * `scores`, blocks that nobody sees are filled in.
 */
import { Call } from './call'
import { dropRow } from './dropout'
import { Two, exponentials, writeConstants } from './exponentials'
import { forgetMasked, shiftRows } from './gradient-tile'
import { BLOCK, MR, TILE, TILE_ROW } from './lanes'
import { packPanels } from './pack'
import { Place, dotTile, fill, maskTile, onePack, oneOf, scaleOf } from './scores'
import { fullRanges, groupRanges, rowIntervals } from './visibility'

export function attentionMaps(call: Call, place: Place, from: i32, to: i32): void {
  writeConstants(call)
  const tiles = (call.queries + TILE - 1) / TILE
  for (let unit = from; unit < to; ++unit) {
    place.head = unit / tiles
    place.b = place.head / call.heads
    place.h = place.head % call.heads
    place.kvHead = place.b * call.kvHeads + place.h / (call.heads / call.kvHeads)
    place.row = (unit - place.head * tiles) * TILE
    place.rows = min(TILE, call.queries - place.row)
    mapTile(call, place)
  }
}

function mapTile(call: Call, place: Place): void {
  const kRow = <usize>call.dimK << 2
  const at = <usize>place.head * <usize>call.queries + <usize>place.row
  const q = call.q + at * kRow
  const k = call.k + <usize>place.kvHead * <usize>call.keys * kRow
  rowIntervals(call, place.b, place.head, place.row, place.rows, call.rowFrom, call.rowTo, call.common)
  shiftRows(call, at, place.rows)
  for (place.key = 0; place.key < call.keys; place.key += BLOCK) {
    place.keys = min(BLOCK, call.keys - place.key)
    const seen = groupRanges(call, place.rows, place.key, call.rowFrom, call.rowTo, call.common)
    if (call.scores) fullRanges(call, place.keys)
    const kBlock = k + <usize>place.key * kRow
    if (onePack(call, call.dimK)) packPanels(kBlock, kRow, place.keys, call.dimK, call.keyPack)
    dotTile(call, q, place.rows, kBlock, place.keys, call.dimK, call.keyPack, call.tile, scaleOf(call))
    if (call.scores) copyTile(call, place, at, call.scores)
    maskTile(call, place, call.rowFrom, call.rowTo, seen, false)
    for (let r = 0; r < place.rows; ++r) {
      const range = call.ranges + (<usize>(r / MR) << 3)
      const row = call.tile + <usize>r * TILE_ROW
      fill(row, 0, load<i32>(range), -Infinity)
      fill(row, load<i32>(range, 4), BLOCK, -Infinity)
    }
    if (call.maskedScores) copyTile(call, place, at, call.maskedScores)
    if (!call.weights && !call.droppedWeights) continue
    fullRanges(call, place.keys)
    exponentials<Two>(call, call.tile, place.rows, call.shiftUpper, call.shiftLower, 0)
    for (let r = 0; call.careful && r < place.rows; ++r) {
      forgetMasked(call.attended + <usize>(r * BLOCK), call.tile + <usize>r * TILE_ROW)
    }
    if (call.weights) copyTile(call, place, at, call.weights)
    if (!call.droppedWeights) continue
    for (let r = 0; call.dropout && r < place.rows; ++r) {
      dropRow(call, place.head, place.row + r, place.key, call.tile + <usize>r * TILE_ROW, 0, BLOCK)
    }
    copyTile(call, place, at, call.droppedWeights)
  }
}

/** The tile into its place in a map. */
function copyTile(call: Call, place: Place, at: usize, map: usize): void {
  const row = <usize>call.keys << 2
  let into = map + at * row + (<usize>place.key << 2)
  let from = call.tile
  for (let r = 0; r < place.rows; ++r) {
    let j = 0
    for (; j + 4 <= place.keys; j += 4) v128.store(into + (<usize>j << 2), v128.load(from + (<usize>j << 2)))
    for (; j < place.keys; ++j) store<f32>(into + (<usize>j << 2), load<f32>(from + (<usize>j << 2)))
    into += row
    from += TILE_ROW
  }
}
