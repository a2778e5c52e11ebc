/**
 * output = softmax(masked scores)·v for query tiles, with an online softmax: no more than a 24×96 tile of scores exists.
 *
 * The recurrence over a row's key blocks is in online-softmax.ts, what the softmax sees in scores.ts and mask-tile.ts.
 * Which blocks a tile goes through, and in which order, depends on the tile alone: any cut of the range gives the same
 * bits. Tiles that run together only share the packed keys. Maps that are asked for are written on the way (map-rows.ts).
 * Writes output (where O is accumulated in place), logsumexp, entropy; the maps scores, maskedScores, weights, droppedWeights.
 * Sources: Milakov & Gimelshein 2018 (online softmax); Dao 2023 (FlashAttention-2).
 */
import { Call } from './call'
import { attendedRowsProduct } from './careful'
import { writeConstants } from './exponentials'
import { BLOCK, TILE } from './lanes'
import { finishMaps, scoreMap, storeTile } from './map-rows'
import { isPlain, maskTile } from './mask-tile'
import { PER_TILE, begin, finish, softmaxTile } from './online-softmax'
import { packPanels } from './pack'
import { Place, addBlockProduct, dotTile, onePack, packBlockRows, scaleOf } from './scores'
import { NOTHING, fullRanges, groupRanges, rowIntervals } from './visibility'

export function attentionForward(call: Call, place: Place, from: i32, to: i32): void {
  writeConstants(call)
  const tiles = (call.queries + TILE - 1) / TILE
  for (let unit = from; unit < to; ) {
    const head = unit / tiles
    const first = unit - head * tiles
    const count = min(min(to - unit, tiles - first), call.tilesTogether)
    place.head = head
    place.b = head / call.heads
    place.h = head % call.heads
    place.kvHead = place.b * call.kvHeads + place.h / (call.heads / call.kvHeads)
    forwardTiles(call, place, first, count)
    unit += count
  }
}

/** The maps alone, from a logsumexp that is there. */
export function attentionMaps(call: Call, place: Place, from: i32, to: i32): void {
  call.output = 0
  attentionForward(call, place, from, to)
}

/** Rows of tile `tile`. */
// @ts-ignore: decorator
@inline
export function enter(call: Call, place: Place, tile: i32): void {
  place.row = tile * TILE
  place.rows = min(TILE, call.queries - place.row)
}

function forwardTiles(call: Call, place: Place, first: i32, count: i32): void {
  const kRow = <usize>call.dimK << 2
  const vRow = <usize>call.dimV << 2
  const headRow = <usize>place.head * <usize>call.queries
  const k = call.k + <usize>place.kvHead * <usize>call.keys * kRow
  const v = call.v + <usize>place.kvHead * <usize>call.keys * vRow
  let least = call.keys
  let most = 0
  for (let t = 0; t < count; ++t) {
    enter(call, place, first + t)
    const lane = <usize>t * PER_TILE
    const common = call.common + (<usize>t << 3)
    const seen = rowIntervals(
      call, place.b, place.head, place.row, place.rows, call.rowFrom + lane, call.rowTo + lane, common,
    )
    least = min(least, <i32>seen)
    most = max(most, <i32>(seen >> 32))
    if (!call.output) continue
    begin(call, lane)
    const at = headRow + <usize>place.row
    memory.fill(call.output + at * vRow, 0, <usize>place.rows * vRow)
  }
  if (call.scores) {
    // of every pair, attended or not
    least = 0
    most = call.keys
  }

  const map = scoreMap(call)
  for (place.key = (least / BLOCK) * BLOCK; place.key < most; place.key += BLOCK) {
    place.keys = min(BLOCK, call.keys - place.key)
    let packed = false
    for (let t = 0; t < count; ++t) {
      const lane = <usize>t * PER_TILE
      enter(call, place, first + t)
      const common = call.common + (<usize>t << 3)
      let seen = groupRanges(call, place.rows, place.key, call.rowFrom + lane, call.rowTo + lane, common)
      if (seen == NOTHING && !call.scores) continue
      const kBlock = k + <usize>place.key * kRow
      const vBlock = v + <usize>place.key * vRow
      if (!packed) {
        if (onePack(call, call.dimK)) packPanels(kBlock, kRow, place.keys, call.dimK, call.keyPack)
        if (call.output) packBlockRows(call, vBlock, call.valueRows, call.dimV, place.keys)
        packed = true
      }
      const at = headRow + <usize>place.row
      const q = call.q + at * kRow
      const inMap = (at * <usize>call.keys + <usize>place.key) << 2
      const stored = call.scores ? call.scores : map && isPlain(call, seen) ? map : 0
      if (call.scores) fullRanges(call, place.keys)
      dotTile(
        call, q, place.rows, kBlock, place.keys, call.dimK, call.keyPack, call.tile, scaleOf(call), stored ? stored + inMap : 0,
      )
      if (call.scores) seen = groupRanges(call, place.rows, place.key, call.rowFrom + lane, call.rowTo + lane, common)
      if (seen == NOTHING) continue
      maskTile(call, place, call.rowFrom + lane, call.rowTo + lane, seen, false)
      if (map != 0 && map != stored) storeTile(call, place, map + inMap)
      if (!call.output) continue
      softmaxTile(call, place, lane, call.output + at * vRow, isPlain(call, seen))
      const output = call.output + at * vRow
      if (call.careful) {
        attendedRowsProduct(call, call.tile, place.rows, place.keys, vBlock, call.dimV, output)
      } else {
        addBlockProduct(call, call.tile, place.rows, vBlock, call.valueRows, call.dimV, place.keys, output)
      }
    }
  }

  for (let t = 0; t < count; ++t) {
    enter(call, place, first + t)
    const lane = <usize>t * PER_TILE
    const at = headRow + <usize>place.row
    if (call.output) finish(call, place, lane, at)
    if (map) finishMaps(call, place, at, call.rowFrom + lane, call.rowTo + lane)
  }
}
