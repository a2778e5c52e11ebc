/**
 * The gradients of q, k and v for one key block against all rows of one query head:
 *
 *   dV += (z·P)ᵀ·dO      dK += dSᵀ·(scale·Q)      dQ += scale·dS·K        (see gradient-tile.ts)
 *
 * going through the query tiles that see the block, in ascending order. Units of one part of a kv head's keys follow one
 * another, key block by key block, and within a block member by member of the query group; each adds to the part's dQ (its
 * first key block sets it to zero), dK and dV (the group's member 0 sets the block's rows to zero): always the same order of
 * additions. Parts that are not apart follow one another too, and the last block of each adds the part's dQ to the whole.
 * Memory: a few tiles. Writes delta too, in a chain's first key block.
 * Differentiates forward.ts. Source: Dao 2023 (FlashAttention-2), algorithm 2.
 */
import { Call } from '../../../wasm/generated/attention'
import { attendedColumnsProduct, attendedRowsProduct } from './non-finite'
import { deltaTile, gradientTile } from './gradient-tile'
import { writeConstants } from './exponentials'
import { KEY_BLOCK, QUERY_TILE, TILE_ROW } from '../../../wasm/assembly/score-tile'
import { maskTile } from './mask-tile'
import { packEdge, packPanels } from '../../../wasm/assembly/pack'
import { Add, Columns, copyRows, product } from '../../../wasm/assembly/product'
import { areApart, clearRows, fetchRows, keyOffset, keyRow, queryOffset, queryRow } from './rows'
import { Place, placeOf } from './place'
import { blockProduct, dotTile, onePack, oneOf, packBlockRows, scaleOf, scaleQueries } from './scores'
import { NOTHING, PARTLY, columnRanges, groupRanges, rowIntervals, visibleRows } from './visibility'

export function attentionBackward(call: Call, from: i32, to: i32): void {
  const place = placeOf(call)
  writeConstants(call)
  const group = call.heads / call.kvHeads
  const rows = <usize>call.batch * <usize>call.heads * <usize>call.queries
  for (let unit = from; unit < to; ++unit) {
    const member = unit % group
    const block = (unit / group) % call.partBlocks
    const part = (unit / (group * call.partBlocks)) % call.parts
    place.kvHead = unit / (group * call.partBlocks * call.parts)
    place.b = place.kvHead / call.kvHeads
    place.h = (place.kvHead % call.kvHeads) * group + member
    place.head = place.b * call.heads + place.h
    const slot = call.apart ? part : 0
    place.delta = call.delta + ((<usize>slot * rows) << 2)
    place.gradQ = part == 0 ? call.gradQ : call.gradQParts + ((<usize>max(0, slot - 1) * rows * <usize>call.dimK) << 2)
    place.key = (part * call.partBlocks + block) * KEY_BLOCK
    place.keys = min(KEY_BLOCK, call.keys - place.key)
    if (areApart(call) && place.h == 0 && part == 0 && block == 0) {
      fetchRows(call, call.output, place.b, call.heads * call.queries, call.dimV)
      fetchRows(call, call.gradOutput, place.b, call.heads * call.queries, call.dimV)
      fetchRows(call, call.q, place.b, call.heads * call.queries, call.dimK)
      fetchRows(call, call.k, place.b, call.kvHeads * call.keys, call.dimK)
      fetchRows(call, call.v, place.b, call.kvHeads * call.keys, call.dimV)
    }
    initialise(call, place, block == 0, block == 0 && (part == 0 || call.apart != 0), member == 0)
    if (place.keys > 0) keyBlock(call, place)
    if (call.gradQ && !call.apart && part > 0 && block == call.partBlocks - 1) addPart(call, place)
  }
}

/** gradQ of the head += the part's own. */
function addPart(call: Call, place: Place): void {
  const first = queryOffset(call, place, 0, call.dimK)
  if (!areApart(call)) {
    addRun(call.gradQ + first, place.gradQ + first, call.queries * call.dimK)
    return
  }
  const row = queryRow(call, call.dimK)
  for (let r: usize = 0, end = first + <usize>call.queries * row; first + r < end; r += row) {
    addRun(call.gradQ + first + r, place.gradQ + first + r, call.dimK)
  }
}

/** into += from, `count` elements. */
function addRun(into: usize, from: usize, count: i32): void {
  for (; count >= 8; count -= 8) {
    const g0 = f32x4.add(v128.load(into), v128.load(from))
    const g1 = f32x4.add(v128.load(into, 16), v128.load(from, 16))
    v128.store(into, g1, 16)
    v128.store(into, g0)
    into += 32
    from += 32
  }
  for (; count > 0; --count) {
    store<f32>(into, load<f32>(into) + load<f32>(from))
    into += 4
    from += 4
  }
}

function initialise(call: Call, place: Place, firstOfPart: bool, firstOfChain: bool, firstMember: bool): void {
  if (firstOfPart) {
    const rows = <usize>place.head * <usize>call.queries
    for (place.row = 0; firstOfChain && place.row < call.queries; place.row += QUERY_TILE) {
      place.rows = min(QUERY_TILE, call.queries - place.row)
      const at = rows + <usize>place.row
      deltaTile(call, place, at, place.delta + (at << 2))
    }
    const gradQ = place.gradQ + queryOffset(call, place, 0, call.dimK)
    if (call.gradQ) clearRows(gradQ, call.queries, call.dimK, queryRow(call, call.dimK))
  }
  if (firstMember && place.keys > 0) {
    if (call.gradK) clearRows(gradKOf(call, place), place.keys, call.dimK, keyRow(call, call.dimK))
    if (call.gradV) clearRows(gradVOf(call, place), place.keys, call.dimV, keyRow(call, call.dimV))
  }
}

/** Where the gradients of the block's keys and values stand. */
// @ts-ignore: decorator
@inline
function gradKOf(call: Call, place: Place): usize {
  return call.gradK + keyOffset(call, place, place.key, call.dimK)
}

// @ts-ignore: decorator
@inline
function gradVOf(call: Call, place: Place): usize {
  return call.gradV + keyOffset(call, place, place.key, call.dimV)
}

function keyBlock(call: Call, place: Place): void {
  const kRow = <usize>call.dimK << 2
  const vRow = <usize>call.dimV << 2
  const k = call.k + keyOffset(call, place, place.key, call.dimK)
  packKeys(call, place)
  if (call.gradQ) packBlockRows(call, k, call.keyRows, call.dimK, place.keys)
  const visible = visibleRows(call, place.b, place.h, place.key, place.keys)
  const end = <i32>(visible >> 32)
  for (place.row = (<i32>visible / QUERY_TILE) * QUERY_TILE; place.row < end; place.row += QUERY_TILE) {
    place.rows = min(QUERY_TILE, call.queries - place.row)
    rowIntervals(call, place.b, place.h, place.row, place.rows, call.rowFrom, call.rowTo, call.common)
    const seen = groupRanges(call, place.rows, place.key, call.rowFrom, call.rowTo, call.common)
    if (seen == NOTHING) continue
    const at = <usize>place.head * <usize>call.queries + <usize>place.row
    scoreGradients(call, place, at, place.delta + (at << 2), seen, false)
    const q = call.scaledQueries
    const gradOutput = place.gradOutput
    if (call.nonFinite) {
      attendedProducts(call, place, k)
      continue
    }
    if (seen == PARTLY) columnRanges(call, place.rows, place.key, call.rowFrom, call.rowTo)
    const along = seen == PARTLY ? call.columnRanges : 0
    if (call.gradV) {
      packEdge(gradOutput, place.rows, call.dimV, call.gradOutputEdge)
      product<Columns, Add>(
        call.tile, TILE_ROW, place.keys, gradOutput, vRow, call.gradOutputEdge, call.dimV, place.rows,
        along, gradVOf(call, place), keyRow(call, call.dimV), call.spare, oneOf(call),
      )
    }
    if (call.gradK) {
      packEdge(q, place.rows, call.dimK, call.queryEdge)
      product<Columns, Add>(
        call.gradTile, TILE_ROW, place.keys, q, kRow, call.queryEdge, call.dimK, place.rows,
        along, gradKOf(call, place), keyRow(call, call.dimK), call.spare, oneOf(call),
      )
    }
    if (call.gradQ) {
      const gradQ = place.gradQ + queryOffset(call, place, place.row, call.dimK)
      blockProduct<Add>(call, call.gradTile, place.rows, k, call.keyRows, call.dimK, place.keys, gradQ, scaleOf(call))
    }
  }
}

/** The products of a tile where inputs may hold a NaN; `k`: the block's keys. */
function attendedProducts(call: Call, place: Place, k: usize): void {
  const rows = place.rows
  const keys = place.keys
  if (call.gradV) {
    attendedColumnsProduct(call, call.tile, rows, keys, place.gradOutput, call.dimV, gradVOf(call, place))
  }
  if (call.gradK) {
    attendedColumnsProduct(call, call.gradTile, rows, keys, call.scaledQueries, call.dimK, gradKOf(call, place))
  }
  if (call.gradQ) {
    const gradQ = place.gradQ + queryOffset(call, place, place.row, call.dimK)
    attendedRowsProduct(call, call.gradTile, rows, keys, k, call.dimK, gradQ, call.scale)
  }
}

/** Kᵀ and Vᵀ of the place's block, where they fit whole. */
export function packKeys(call: Call, place: Place): void {
  const k = call.k + keyOffset(call, place, place.key, call.dimK)
  const v = call.v + keyOffset(call, place, place.key, call.dimV)
  if (onePack(call, call.dimK)) packPanels(k, keyRow(call, call.dimK), place.keys, call.dimK, call.keyPack)
  if (onePack(call, call.dimV)) packPanels(v, keyRow(call, call.dimV), place.keys, call.dimV, call.valuePack)
}

/**
 * Fills tile with z·P and gradTile with dS (or dB) for the place, whose keys are packed and whose ranges are known. Sees to it that
 * the tile's rows of gradOutput stand side by side.
 */
export function scoreGradients(call: Call, place: Place, at: usize, delta: usize, seen: i32, toBias: bool): void {
  const q = call.scaledQueries
  const k = call.k + keyOffset(call, place, place.key, call.dimK)
  const v = call.v + keyOffset(call, place, place.key, call.dimV)
  scaleQueries(call, call.q + queryOffset(call, place, place.row, call.dimK), place.rows, q)
  dotTile(call, q, place.rows, k, place.keys, call.dimK, call.keyPack, call.tile)
  maskTile(call, place, call.rowFrom, call.rowTo, seen, !toBias)
  place.gradOutput = gradOutputRows(call, place)
  dotTile(call, place.gradOutput, place.rows, v, place.keys, call.dimV, call.valuePack, call.gradTile)
  gradientTile(call, place, at, delta, toBias)
}

/** The place's rows of gradOutput; copied where those of a head are apart, because products go through them column by column. */
function gradOutputRows(call: Call, place: Place): usize {
  const rows = call.gradOutput + queryOffset(call, place, place.row, call.dimV)
  if (!areApart(call)) return rows
  copyRows(rows, queryRow(call, call.dimV), place.rows, call.dimV, call.gradOutputTile, <usize>call.dimV << 2)
  return call.gradOutputTile
}
