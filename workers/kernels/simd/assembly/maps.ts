/**
 * The maps [batch, heads, queries, keys] of query tiles, each when asked for:
 *
 *   scores = scale·q·k for every pair      maskedScores = what the softmax sees, −∞ where not attended
 *   weights = exp(maskedScores − logsumexp), 0 where not attended      droppedWeights = z·weights
 *
 * Hazard: where logsumexp is NaN, so is −∞ − logsumexp: what is not attended has weight 0 all the same. What no map asks
 * for is not computed: without `scores`, blocks that nobody sees are filled in.
 */
import { Call } from './call'
import { dropRow } from './dropout'
import { Two, exponentials, writeConstants } from './exponentials'
import { forgetMasked, shiftRows } from './gradient-tile'
import { BLOCK, MR, TILE, TILE_ROW } from './lanes'
import { enter } from './forward'
import { fill, maskTile } from './mask-tile'
import { PER_TILE } from './online-softmax'
import { packPanels } from './pack'
import { Place, dotTile, onePack, scaleOf } from './scores'
import { NOTHING, WHOLE, fullRanges, groupRanges, rowIntervals } from './visibility'

export function attentionMaps(call: Call, place: Place, from: i32, to: i32): void {
  writeConstants(call)
  const tiles = (call.queries + TILE - 1) / TILE
  for (let unit = from; unit < to; ) {
    place.head = unit / tiles
    place.b = place.head / call.heads
    place.h = place.head % call.heads
    place.kvHead = place.b * call.kvHeads + place.h / (call.heads / call.kvHeads)
    const first = unit - place.head * tiles
    const count = min(min(to - unit, tiles - first), call.tilesTogether)
    mapTiles(call, place, first, count)
    unit += count
  }
}

/** Tiles that run together only share the packed keys. */
function mapTiles(call: Call, place: Place, first: i32, count: i32): void {
  const kRow = <usize>call.dimK << 2
  const k = call.k + <usize>place.kvHead * <usize>call.keys * kRow
  for (let t = 0; t < count; ++t) {
    enter(call, place, first + t)
    const lane = <usize>t * PER_TILE
    const common = call.common + (<usize>t << 3)
    rowIntervals(call, place.b, place.head, place.row, place.rows, call.rowFrom + lane, call.rowTo + lane, common)
  }
  for (place.key = 0; place.key < call.keys; place.key += BLOCK) {
    place.keys = min(BLOCK, call.keys - place.key)
    const kBlock = k + <usize>place.key * kRow
    if (onePack(call, call.dimK)) packPanels(kBlock, kRow, place.keys, call.dimK, call.keyPack)
    for (let t = 0; t < count; ++t) {
      enter(call, place, first + t)
      mapTile(call, place, <usize>t * PER_TILE, call.common + (<usize>t << 3), kBlock)
    }
  }
}

function mapTile(call: Call, place: Place, lane: usize, common: usize, kBlock: usize): void {
  const at = <usize>place.head * <usize>call.queries + <usize>place.row
  const seen = groupRanges(call, place.rows, place.key, call.rowFrom + lane, call.rowTo + lane, common)
  if (seen == NOTHING && !call.scores) {
    if (call.maskedScores) fillTile(call, place, at, call.maskedScores, -Infinity)
    if (call.weights) fillTile(call, place, at, call.weights, 0)
    if (call.droppedWeights) fillTile(call, place, at, call.droppedWeights, 0)
    return
  }
  if (call.scores) fullRanges(call, place.keys)
  const q = call.q + at * (<usize>call.dimK << 2)
  dotTile(call, q, place.rows, kBlock, place.keys, call.dimK, call.keyPack, call.tile, scaleOf(call))
  if (call.scores) copyTile(call, place, at, call.scores)
  maskTile(call, place, call.rowFrom + lane, call.rowTo + lane, seen, false)
  for (let r = 0; seen != WHOLE && r < place.rows; ++r) {
    const range = call.ranges + (<usize>(r / MR) << 3)
    const row = call.tile + <usize>r * TILE_ROW
    fill(row, 0, load<i32>(range), -Infinity)
    fill(row, load<i32>(range, 4), BLOCK, -Infinity)
  }
  if (call.maskedScores) copyTile(call, place, at, call.maskedScores)
  if (!call.weights && !call.droppedWeights) return
  fullRanges(call, place.keys)
  shiftRows(call, at, place.rows)
  exponentials<Two>(call, call.tile, place.rows, call.shiftUpper, call.shiftLower, 0, 0)
  for (let r = 0; call.careful && r < place.rows; ++r) {
    forgetMasked(call.attended + <usize>(r * BLOCK), call.tile + <usize>r * TILE_ROW)
  }
  if (call.weights) copyTile(call, place, at, call.weights)
  if (!call.droppedWeights) return
  for (let r = 0; call.dropout && r < place.rows; ++r) {
    dropRow(call, place.head, place.row + r, place.key, call.tile + <usize>r * TILE_ROW, 0, BLOCK)
  }
  copyTile(call, place, at, call.droppedWeights)
}

/** The tile into its place in a map. */
function copyTile(call: Call, place: Place, at: usize, map: usize): void {
  const row = <usize>call.keys << 2
  let into = map + at * row + (<usize>place.key << 2)
  let from = call.tile
  for (let r = 0; r < place.rows; ++r) {
    let j = 0
    for (; j + 8 <= place.keys; j += 8) {
      const low = v128.load(from + (<usize>j << 2))
      const high = v128.load(from + (<usize>j << 2), 16)
      v128.store(into + (<usize>j << 2), high, 16)
      v128.store(into + (<usize>j << 2), low)
    }
    for (; j < place.keys; ++j) store<f32>(into + (<usize>j << 2), load<f32>(from + (<usize>j << 2)))
    into += row
    from += TILE_ROW
  }
}

/** One value in the tile's whole place in a map. */
function fillTile(call: Call, place: Place, at: usize, map: usize, value: f32): void {
  const row = <usize>call.keys << 2
  let into = map + at * row + (<usize>place.key << 2)
  const values = f32x4.splat(value)
  for (let r = 0; r < place.rows; ++r) {
    let j = 0
    for (; j + 8 <= place.keys; j += 8) {
      v128.store(into + (<usize>j << 2), values, 16)
      v128.store(into + (<usize>j << 2), values)
    }
    fill(into, j, place.keys, value)
    into += row
  }
}
