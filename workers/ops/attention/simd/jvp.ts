/**
 * The tangents of output, weights and logsumexp l for query tiles, block by block of keys:
 *
 *   ds = (scale·dq)·k + (scale·q)·dk → ·(1 − tanh²) → + dmask      of the masked score s (mask-tile.ts)
 *   dl = Σ p·ds + p_sink·dsink                                      p = exp(s − m)/Σ, (m, Σ) the row's denominator
 *   dp = p·(ds − dl)      doutput = Σ z·dp·v + z·p·dv               z = dropout's 0 or 1/(1−p)
 *
 * The keys are gone through twice: for dl, and for what needs it. So nothing cancels that the formulas do not cancel
 * themselves. A tile of p and its tile of ds are formed once where no more than KEPT_TILES of them are needed at a time, and kept
 * (fewer query tiles then run together); otherwise, and where inputs are non-finite, they are formed twice.
 * A row's sums are its own: blocks begin at multiples of 128 keys, lanes at multiples of 8, and what other rows of its tile see adds
 * zeros. Tiles that run together share the packed keys.
 * Hazards: a pair that is not attended has p = 0, but its ds may be anything: ds is 0 there. In a row that attends to nothing m is
 * −∞: 0 stands in, and for 1/Σ (gradient-tile.ts). 1 − tanh² is formed as (1 − tanh)(1 + tanh).
 * A row of doutput that overflowed is formed again (jvp-large.ts).
 * Differentiates forward.ts in forward mode; p is computed again, from scores that are the forward pass's to the bit.
 */
import { Call, KEPT_TILES } from '../../../wasm/generated/attention'
import { attendedRowsProduct } from './non-finite'
import { writeConstants } from './exponentials'
import { enter, scaledTile } from './forward'
import { MR } from '../../../wasm/assembly/lanes'
import { largeTangents } from './jvp-large'
import { dropTiles, formTiles, packKeyPanels, scoresMove, tangentTile } from './jvp-scores'
import { finishSums, sumTangents, weighTangents } from './jvp-tile'
import { FORWARD_BLOCK, QUERY_TILE, TILE_ROW } from '../../../wasm/assembly/score-tile'
import { PER_TILE } from './online-softmax'
import { Add, copyRows } from '../../../wasm/assembly/product'
import { Place, placeOf } from './place'
import { blockProduct, oneOf, packBlockRows, scaleQueries } from './scores'
import { NOTHING, intervalsOf, rangesOf, rowIntervals } from './visibility'

export function attentionJvp(call: Call, from: i32, to: i32): void {
  const place = placeOf(call)
  writeConstants(call)
  place.tile = call.tile
  place.gradTile = call.gradTile
  const tiles = (call.queries + QUERY_TILE - 1) / QUERY_TILE
  for (let unit = from; unit < to; ) {
    const head = unit / tiles
    const first = unit - head * tiles
    place.head = head
    place.b = head / call.heads
    place.h = head % call.heads
    place.kvHead = place.b * call.kvHeads + place.h / (call.heads / call.kvHeads)
    const most = min(min(to - unit, tiles - first), call.tilesTogether)
    const count = scoresMove(call) && !call.nonFinite ? keptTogether(call, place, first, most) : most
    tangentTiles(call, place, first, count)
    unit += count
  }
}

/** How many query tiles from `first` on, of at most `count`, run together, for what they see to be kept; all where it cannot be. */
function keptTogether(call: Call, place: Place, first: i32, count: i32): i32 {
  if (blocksOf(call, place, first, 1) > KEPT_TILES) return count
  let fits = count
  let blocks = blocksOf(call, place, first, fits)
  while (fits > 1 && fits * blocks > KEPT_TILES) {
    fits = max(1, min(fits - 1, KEPT_TILES / blocks))
    blocks = blocksOf(call, place, first, fits)
  }
  return fits
}

/** Key blocks from the first to the last that rows of `count` tiles may see: both ends of intervals grow with the row. */
function blocksOf(call: Call, place: Place, first: i32, count: i32): i32 {
  const own = intervalsOf(call, place.b, place.h)
  if (!own) return (call.keys + FORWARD_BLOCK - 1) / FORWARD_BLOCK
  const last = min(call.queries, (first + count) * QUERY_TILE) - 1
  const from = load<i32>(own + (<usize>(first * QUERY_TILE) << 3))
  const to = load<i32>(own + (<usize>last << 3), 4)
  return max(1, (to + FORWARD_BLOCK - 1) / FORWARD_BLOCK - from / FORWARD_BLOCK)
}

/** Whether anything is wanted that needs the sums. */
// @ts-ignore: decorator
@inline
function isWanted(call: Call): bool {
  return (call.tangentOutput | call.tangentWeights) != 0
}

/** Whether the keys that the tile'th tile sees stand in one block. */
function isShort(call: Call, tile: i32): bool {
  const reach = call.tileKeys + (<usize>tile << 3)
  return load<i32>(reach) / FORWARD_BLOCK == (load<i32>(reach, 4) - 1) / FORWARD_BLOCK
}

function tangentTiles(call: Call, place: Place, first: i32, count: i32): void {
  const kRow = <usize>call.dimK << 2
  const headRow = <usize>place.head * <usize>call.queries
  let least = call.keys
  let most = 0
  let long = false
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
    store<i32>(call.tileKeys + (<usize>t << 3), <i32>seen)
    store<i32>(call.tileKeys + (<usize>t << 3), last, 4)
    if (last > 0 && !isShort(call, t)) long = true
    const at = headRow + <usize>place.row
    scaleQueries(call, call.q + at * kRow, place.rows, scaledTile(call, t))
    if (call.tangentQ) scaleQueries(call, call.tangentQ + at * kRow, place.rows, tangentTile(call, t))
    begin(call, place, lane, at)
  }
  const blocks = most > least ? (most - 1) / FORWARD_BLOCK - least / FORWARD_BLOCK + 1 : 0
  place.firstBlock = least / FORWARD_BLOCK
  place.blocks = call.nonFinite || count * blocks > KEPT_TILES ? 0 : blocks
  if (scoresMove(call) && long) {
    goThrough(call, place, first, count, least, most, false)
    for (let t = 0; t < count; ++t) {
      enter(call, place, first + t)
      if (!isShort(call, t)) finishSums(call, place, headRow + <usize>place.row, <usize>t * PER_TILE)
    }
  }
  if (isWanted(call) || scoresMove(call)) goThrough(call, place, first, count, least, most, true)
  for (let t = 0; call.tangentOutput != 0 && t < count; ++t) {
    enter(call, place, first + t)
    largeTangents(call, place, t)
  }
}

/** A tile that has seen nothing, from row `at` of [batch, heads, queries]; sums of rows that see no key are complete. */
function begin(call: Call, place: Place, lane: usize, at: usize): void {
  memory.fill(call.runningSum + lane * 8, 0, PER_TILE * 8)
  finishSums(call, place, at, lane)
  const rows = <usize>place.rows
  if (call.tangentOutput) {
    const row = <usize>call.dimV << 2
    memory.fill(call.tangentOutput + at * row, 0, rows * row)
  }
  if (call.tangentWeights) {
    const row = <usize>call.keys << 2
    memory.fill(call.tangentWeights + at * row, 0, rows * row)
  }
}

/**
 * All key blocks from `least` to `most` for all tiles: either for the sums alone, of those tiles that are not short, or for what
 * needs them.
 */
function goThrough(call: Call, place: Place, first: i32, count: i32, least: i32, most: i32, last: bool): void {
  const vRow = <usize>call.dimV << 2
  const headRow = <usize>place.head * <usize>call.queries
  for (place.key = (least / FORWARD_BLOCK) * FORWARD_BLOCK; place.key < most; place.key += FORWARD_BLOCK) {
    place.keys = min(FORWARD_BLOCK, call.keys - place.key)
    const key = <usize>place.kvHead * <usize>call.keys + <usize>place.key
    let keysPacked = false
    let valuesPacked = false
    for (let t = 0; t < count; ++t) {
      const short = isShort(call, t)
      if (last ? !isWanted(call) && !short : short) continue
      enter(call, place, first + t)
      const lane = <usize>t * PER_TILE
      const common = call.common + (<usize>t << 3)
      const seen = rangesOf(
        call, place.rows, place.key, FORWARD_BLOCK, call.rowFrom + lane, call.rowTo + lane, common,
      )
      if (seen == NOTHING) continue
      const at = headRow + <usize>place.row
      const kept = place.blocks > 0 && !short && scoresMove(call)
      takeTiles(call, place, t, kept)
      if (!last || !kept) {
        if (!keysPacked) packKeyPanels(call, place, key)
        keysPacked = true
        formTiles(call, place, t, key, at, seen)
        if (scoresMove(call) && (!last || short)) sumTangents(call, place, lane)
      }
      if (!last) continue
      if (scoresMove(call)) {
        if (short) finishSums(call, place, at, lane)
        weighTangents(call, place, lane)
        if (call.tangentWeights) storeWeights(call, place, at)
      }
      if (!call.tangentOutput) continue
      if (!valuesPacked) packValues(call, place, key)
      valuesPacked = true
      addValues(call, place, at * vRow, key * vRow)
    }
  }
  takeTiles(call, place, 0, false)
}

/** Lets `tile` and `gradTile` be those that are kept of the t'th query tile and the place's keys, or the ones that are not. */
function takeTiles(call: Call, place: Place, t: i32, kept: bool): void {
  const size = <usize>QUERY_TILE * TILE_ROW
  const index = t * place.blocks + place.key / FORWARD_BLOCK - place.firstBlock
  call.tile = kept ? call.kept + <usize>(2 * index) * size : place.tile
  call.gradTile = kept ? call.tile + size : place.gradTile
}

function packValues(call: Call, place: Place, key: usize): void {
  const vRow = <usize>call.dimV << 2
  if (scoresMove(call)) packBlockRows(call, call.v + key * vRow, call.valueRows, call.dimV, place.keys)
  if (call.tangentV) packBlockRows(call, call.tangentV + key * vRow, call.tangentValueRows, call.dimV, place.keys)
}

/** The tile of dp into its place in the map. */
function storeWeights(call: Call, place: Place, at: usize): void {
  const row = <usize>call.keys << 2
  const map = call.tangentWeights + at * row + (<usize>place.key << 2)
  for (let r = 0; r < place.rows; r += MR) {
    const range = call.ranges + (<usize>(r / MR) << 3)
    const from = load<i32>(range)
    const width = min(load<i32>(range, 4), place.keys) - from
    const tile = call.gradTile + <usize>r * TILE_ROW + (<usize>from << 2)
    copyRows(tile, TILE_ROW, min(place.rows - r, MR), width, map + <usize>r * row + (<usize>from << 2), row)
  }
}

/** doutput += z·dp·V + z·p·dV; `output` and `values`: where their rows begin. */
function addValues(call: Call, place: Place, output: usize, values: usize): void {
  if (call.dropout) dropTiles(call, place)
  const into = call.tangentOutput + output
  if (scoresMove(call)) addProduct(call, place, call.gradTile, call.v + values, call.valueRows, into)
  if (call.tangentV) addProduct(call, place, call.tile, call.tangentV + values, call.tangentValueRows, into)
}

function addProduct(call: Call, place: Place, tile: usize, values: usize, packed: usize, into: usize): void {
  if (call.nonFinite) attendedRowsProduct(call, tile, place.rows, place.keys, values, call.dimV, into, 1)
  else blockProduct<Add>(call, tile, place.rows, values, packed, call.dimV, place.keys, into, oneOf(call))
}
