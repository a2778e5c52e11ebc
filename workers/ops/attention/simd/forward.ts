/**
 * output = softmax(masked scores)·v for query tiles, block by block of keys: no more than a 24×128 tile of scores exists.
 *
 * The softmax of a tile is the recurrence over a row's key blocks in online-softmax.ts; what it sees in scores.ts and
 * mask-tile.ts. A row's sums are its own: blocks begin at multiples of 128 keys, and what other rows of its tile see adds nothing
 * to them, so a row has the same bits in any call and in any cut of one. Tiles that run together only share the packed keys.
 * Maps that are asked for are written on the way (map-rows.ts).
 * Writes output (where O is accumulated in place), denominator, logsumexp, entropy; the maps scores, maskedScores, weights,
 * droppedWeights.
 * Sources: Milakov & Gimelshein 2018 (online softmax); Dao 2023 (FlashAttention-2).
 */
import { Call } from '../../../wasm/generated/attention'
import { attendedRowsProduct } from './non-finite'
import { writeConstants } from './exponentials'
import { FORWARD_BLOCK, QUERY_TILE } from '../../../wasm/assembly/score-tile'
import { finishMaps, scoreMap, storeTile } from './map-rows'
import { largeOutputs } from './large-values'
import { isPlain, maskTile } from './mask-tile'
import { boundOf, isBounded, largestKey, largestRow } from './norms'
import { PER_TILE, begin, finish, softmaxTile, softmaxWithin } from './online-softmax'
import { packPanels } from '../../../wasm/assembly/pack'
import { Add, Set } from '../../../wasm/assembly/product'
import { areApart, clearRows, fetchRows, keyOffset, keyRow, outputOf, queryOffset, queryRow } from './rows'
import { Place, placeOf } from './place'
import { blockProduct, dotTile, onePack, oneOf, packBlockRows, scaleQueries } from './scores'
import { NOTHING, PARTLY, fullRanges, rangesOf, rowIntervals } from './visibility'

export function attentionForward(call: Call, from: i32, to: i32): void {
  const place = placeOf(call)
  writeConstants(call)
  const tiles = (call.queries + QUERY_TILE - 1) / QUERY_TILE
  for (let unit = from; unit < to; ) {
    const head = unit / tiles
    const first = unit - head * tiles
    const count = min(min(to - unit, tiles - first), call.tilesTogether)
    place.head = head
    place.b = head / call.heads
    place.h = head % call.heads
    place.kvHead = place.b * call.kvHeads + place.h / (call.heads / call.kvHeads)
    if (areApart(call) && place.h == 0 && first == 0) {
      fetchRows(call, call.q, place.b, call.heads * call.queries, call.dimK)
      fetchRows(call, call.k, place.b, call.kvHeads * call.keys, call.dimK)
      fetchRows(call, call.v, place.b, call.kvHeads * call.keys, call.dimV)
    }
    forwardTiles(call, place, first, count)
    unit += count
  }
}

/** The maps alone, from a denominator that is there: without an output none is formed. */
export function attentionMaps(call: Call, from: i32, to: i32): void {
  attentionForward(call, from, to)
}

/** Rows of tile `tile`. */
// @ts-ignore: decorator
@inline
export function enter(call: Call, place: Place, tile: i32): void {
  place.row = tile * QUERY_TILE
  place.rows = min(QUERY_TILE, call.queries - place.row)
}

function forwardTiles(call: Call, place: Place, first: i32, count: i32): void {
  const kRow = keyRow(call, call.dimK)
  const headRow = <usize>place.head * <usize>call.queries
  const bounded = isBounded(call)
  let least = call.keys
  let most = 0
  for (let t = 0; t < count; ++t) {
    enter(call, place, first + t)
    const lane = <usize>t * PER_TILE
    const common = call.common + (<usize>t << 3)
    const seen = rowIntervals(
      call, place.b, place.h, place.row, place.rows, call.rowFrom + lane, call.rowTo + lane, common,
    )
    const last = <i32>(seen >> 32)
    least = min(least, <i32>seen)
    most = max(most, last)
    const at = headRow + <usize>place.row
    scaleQueries(call, call.q + queryOffset(call, place, place.row, call.dimK), place.rows, scaledTile(call, t))
    if (!call.output) continue
    if (bounded) store<f32>(call.tileNorms + (<usize>t << 2), largestRow(call, scaledTile(call, t), place.rows))
    store<i32>(call.tileKeys + (<usize>t << 3), <i32>seen)
    store<i32>(call.tileKeys + (<usize>t << 3), last, 4)
    begin(call, place, lane, at)
    if (last == 0) {
      clearRows(outputOf(call, place), place.rows, call.dimV, queryRow(call, call.dimV))
      finish(call, place, t, lane, at)
    }
  }
  if (call.scores) {
    // of every pair, attended or not
    least = 0
    most = call.keys
  }

  const map = scoreMap(call)
  for (place.key = (least / FORWARD_BLOCK) * FORWARD_BLOCK; place.key < most; place.key += FORWARD_BLOCK) {
    place.keys = min(FORWARD_BLOCK, call.keys - place.key)
    const kBlock = call.k + keyOffset(call, place, place.key, call.dimK)
    const vBlock = call.v + keyOffset(call, place, place.key, call.dimV)
    let packed = false
    let largest: f32 = Infinity
    for (let t = 0; t < count; ++t) {
      const lane = <usize>t * PER_TILE
      enter(call, place, first + t)
      const common = call.common + (<usize>t << 3)
      let seen = rangesOf(
        call, place.rows, place.key, FORWARD_BLOCK, call.rowFrom + lane, call.rowTo + lane, common,
      )
      if (seen == NOTHING && !call.scores) continue
      if (!packed) {
        if (onePack(call, call.dimK)) packPanels(kBlock, kRow, place.keys, call.dimK, call.keyPack)
        if (call.output) packBlockRows(call, vBlock, call.valueRows, call.dimV, place.keys)
        if (bounded) largest = largestKey(call, place.keys)
        packed = true
      }
      const at = headRow + <usize>place.row
      const inMap = (at * <usize>call.keys + <usize>place.key) << 2
      const stored = call.scores ? call.scores : map && isPlain(call, place, seen) ? map : 0
      if (call.scores) fullRanges(call, place.keys)
      dotTile(
        call, scaledTile(call, t), place.rows, kBlock, place.keys, call.dimK, call.keyPack, call.tile,
        stored ? stored + inMap : 0,
      )
      if (call.scores) {
        seen = rangesOf(call, place.rows, place.key, FORWARD_BLOCK, call.rowFrom + lane, call.rowTo + lane, common)
      }
      if (seen == NOTHING) continue
      const output = outputOf(call, place)
      const bound = bounded ? boundOf(load<f32>(call.tileNorms + (<usize>t << 2)), largest) : Infinity
      if (!bounded || map != 0 || seen != PARTLY || !softmaxWithin(call, place, lane, bound)) {
        maskTile(call, place, call.rowFrom + lane, call.rowTo + lane, seen, false)
        if (map != 0 && map != stored) storeTile(call, place, map + inMap)
        if (!call.output) continue
        softmaxTile(call, place, lane, output, bound, isPlain(call, place, seen))
      }
      const reach = call.tileKeys + (<usize>t << 3)
      addValues(call, place, vBlock, output, place.key <= load<i32>(reach))
      if (place.key + FORWARD_BLOCK >= load<i32>(reach, 4)) finish(call, place, t, lane, at)
    }
  }

  for (let t = 0; call.output != 0 && t < count; ++t) {
    enter(call, place, first + t)
    largeOutputs(call, place, t, <usize>t * PER_TILE, scaledTile(call, t))
  }
  for (let t = 0; map != 0 && t < count; ++t) {
    enter(call, place, first + t)
    const lane = <usize>t * PER_TILE
    finishMaps(call, place, headRow + <usize>place.row, call.rowFrom + lane, call.rowTo + lane)
  }
}

/** Where scale·Q of the tile'th of the tiles that run together stands. */
// @ts-ignore: decorator
@inline
export function scaledTile(call: Call, tile: i32): usize {
  return call.scaledQueries + <usize>(tile * QUERY_TILE) * (<usize>call.dimK << 2)
}

/** O += e·V, or O = e·V in a tile's first block. */
function addValues(call: Call, place: Place, v: usize, output: usize, fresh: bool): void {
  if (call.nonFinite) {
    if (fresh) clearRows(output, place.rows, call.dimV, queryRow(call, call.dimV))
    attendedRowsProduct(call, call.tile, place.rows, place.keys, v, call.dimV, output, 1)
  } else if (fresh) {
    blockProduct<Set>(call, call.tile, place.rows, v, call.valueRows, call.dimV, place.keys, output, oneOf(call))
  } else {
    blockProduct<Add>(call, call.tile, place.rows, v, call.valueRows, call.dimV, place.keys, output, oneOf(call))
  }
}
