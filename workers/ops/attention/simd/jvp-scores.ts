/** Tiles of weights p and of their scores' tangents ds, for a query tile and a block of keys (jvp.ts has the formulas). */
import { Call } from '../../../wasm/generated/attention'
import { dropRow } from './dropout'
import { AnyValue, Finite, Weights, exponentials } from './exponentials'
import { scaledTile } from './forward'
import { denominatorRows, uncapRow } from './gradient-tile'
import { MR } from '../../../wasm/assembly/lanes'
import { FORWARD_BLOCK, QUERY_TILE, TILE_ROW, fill } from '../../../wasm/assembly/score-tile'
import { addMaskTangent, forgetTangents } from './jvp-tile'
import { maskTile } from './mask-tile'
import { PER_TILE } from './online-softmax'
import { packPanels } from '../../../wasm/assembly/pack'
import { Place } from './place'
import { addDotTile, dotTile, onePack } from './scores'

/** Whether anything moves the scores, or a sink beside them. */
// @ts-ignore: decorator
@inline
export function scoresMove(call: Call): bool {
  return (call.tangentQ | call.tangentK | call.tangentMask | call.tangentSinks) != 0
}

/** Where scale·dQ of the tile'th of the tiles that run together stands. */
// @ts-ignore: decorator
@inline
export function tangentTile(call: Call, tile: i32): usize {
  return call.scaledTangents + <usize>(tile * QUERY_TILE) * (<usize>call.dimK << 2)
}

/**
 * tile = p, gradTile = ds of the t'th query tile and the place's keys, of which its rows see as much as `seen` says. `key` counts rows of
 * [batch, kvHeads, keys], `at` those of [batch, heads, queries]; keys are packed where they fit whole.
 */
export function formTiles(call: Call, place: Place, t: i32, key: usize, at: usize, seen: i32): void {
  const k = call.k + key * (<usize>call.dimK << 2)
  const lane = <usize>t * PER_TILE
  dotTile(call, scaledTile(call, t), place.rows, k, place.keys, call.dimK, call.keyPack, call.tile)
  maskTile(call, place, call.rowFrom + lane, call.rowTo + lane, seen, scoresMove(call))
  if (scoresMove(call)) scoreTangents(call, place, t, key)
  weights(call, place, at)
  if (scoresMove(call)) forgetTangents(call, place)
}

/** tile: masked scores → p */
function weights(call: Call, place: Place, at: usize): void {
  denominatorRows(call, at, place.rows)
  if (call.nonFinite) exponentials<Weights, AnyValue>(call, call.tile, place.rows, call.rowMax, call.rowFactor, 0, 0)
  else exponentials<Weights, Finite>(call, call.tile, place.rows, call.rowMax, call.rowFactor, 0, 0)
}

export function packKeyPanels(call: Call, place: Place, key: usize): void {
  if (!onePack(call, call.dimK)) return
  const kRow = <usize>call.dimK << 2
  packPanels(call.k + key * kRow, kRow, place.keys, call.dimK, call.keyPack)
  if (call.tangentK) packPanels(call.tangentK + key * kRow, kRow, place.keys, call.dimK, call.tangentKeyPack)
}

/** gradTile = ds of the pairs within `ranges`, attended or not. */
function scoreTangents(call: Call, place: Place, t: i32, key: usize): void {
  const kRow = <usize>call.dimK << 2
  const rows = place.rows
  const keys = place.keys
  const tile = call.gradTile
  if (call.tangentQ) {
    dotTile(call, tangentTile(call, t), rows, call.k + key * kRow, keys, call.dimK, call.keyPack, tile)
  } else if (!call.tangentK) {
    for (let r = 0; r < rows; ++r) fill(tile + <usize>r * TILE_ROW, 0, FORWARD_BLOCK, 0)
  }
  if (call.tangentK) {
    const tangentK = call.tangentK + key * kRow
    addDotTile(call, scaledTile(call, t), rows, tangentK, keys, call.dimK, call.tangentKeyPack, tile, call.tangentQ == 0)
  }
  for (let r = 0; r < rows && call.softcap > 0; ++r) {
    const range = call.ranges + (<usize>(r / MR) << 3)
    uncapRow(tile + <usize>r * TILE_ROW, call.tanhTile + <usize>r * TILE_ROW, load<i32>(range), load<i32>(range, 4))
  }
  if (call.tangentMask) addMaskTangent(call, place)
}

/** Dropout of both tiles. */
export function dropTiles(call: Call, place: Place): void {
  for (let r = 0; r < place.rows; ++r) {
    const range = call.ranges + (<usize>(r / MR) << 3)
    const offset = <usize>r * TILE_ROW
    const from = load<i32>(range)
    const to = load<i32>(range, 4)
    if (scoresMove(call)) dropRow(call, place.head, place.row + r, place.key, call.gradTile + offset, from, to)
    if (call.tangentV) dropRow(call, place.head, place.row + r, place.key, call.tile + offset, from, to)
  }
}
