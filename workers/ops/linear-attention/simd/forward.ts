/**
 * Linear attention: states of chunks, and from their sums the output of 96 query rows at a time.
 *
 *   states: S = Σ φ(x_r)·y_rᵀ, z = Σ φ(x_r)·w_r over the rows of a chunk
 *   output = (φ(q)·S + A·v)/normaliser, normaliser = φ(q)·z + Σ A,  A = φ(q)·φ(k)ᵀ where causal allows it
 *
 * S and z are the sums before the chunk in which a row's keys end; A covers the keys from there on. Rows whose keys end in the same
 * chunk are taken together, so that a row's sums are its own, wherever it stands. Scales: scales.ts.
 * Hazards and source: reference/. Writes states; output and normaliser.
 */
import { addBlock, addScaled, addState, divide, dotRows, features, packTiles } from './blocks'
import { LINEAR_CHUNK, Call, SIDE_QUERIES } from '../../../wasm/generated/linear-attention'
import {
  areFinite, chunkFeatures, chunkScales, firstLarge, forwardRow, isLarge, isOrdinary, largerScales,
} from './scales'
import {
  chunksOf, firstRow, isScaled, keysOf, liveQueries, oneOf, scalesOf, seenKeys, stateBytes, sumAt, zOf,
} from './states'
import { packEdge } from '../../../wasm/assembly/pack'
import { Add, Columns, product } from '../../../wasm/assembly/product'

export function linearStates(call: Call, from: i32, to: i32): void {
  const positions = call.side == SIDE_QUERIES ? call.queries : call.keys
  const heads = call.side == SIDE_QUERIES ? call.heads : call.kvHeads
  const chunks = chunksOf(positions)
  for (let unit = from; unit < to; ++unit) {
    const head = unit / chunks
    const chunk = (unit - head * chunks) * LINEAR_CHUNK
    const b = head / heads
    const live = call.side == SIDE_QUERIES ? liveQueries(call, b) : seenKeys(call, b)
    const begin = max(chunk, call.side == SIDE_QUERIES ? firstRow(call, b, 0) : 0)
    const rows = min(chunk + LINEAR_CHUNK, live) - begin
    const state = call.states + <usize>unit * stateBytes(call)
    const scales = scalesOf(call, state)
    if (rows <= 0) {
      memory.fill(state, 0, stateBytes(call))
      for (let d: usize = 0; d < <usize>call.dimK << 2; d += 4) store<f32>(scales + d, -Infinity)
      continue
    }
    const row = <usize>head * <usize>positions + <usize>begin
    const x = call.x + row * (<usize>call.dimK << 2)
    const rowScale = call.rowScale ? call.rowScale + (row << 2) : 0
    const isScaled = chunkScales(call, x, rows, rowScale, scales)
    if (isScaled) chunkFeatures(call, x, rows, rowScale, scales, call.features)
    else features(x, rows * call.dimK, call.features)
    sumChunk(call, row, rows, state)
    if (areFinite(state, call.dimK * (call.dimV + 1))) continue
    // values so large that their sum overflows: features of less than 1/LINEAR_CHUNK
    largerScales(call, x, rows, rowScale, scales)
    chunkFeatures(call, x, rows, rowScale, scales, call.features)
    sumChunk(call, row, rows, state)
  }
}

/** S and z of rows whose features are there. */
function sumChunk(call: Call, row: usize, rows: i32, state: usize): void {
  const xRow = <usize>call.dimK << 2
  const yRow = <usize>call.dimV << 2
  const z = zOf(call, state)
  memory.fill(state, 0, scalesOf(call, state) - state)
  packEdge(call.y + row * yRow, rows, call.dimV, call.blockEdge)
  product<Columns, Add>(
    call.features, xRow, call.dimK, call.y + row * yRow, yRow, call.blockEdge, call.dimV, rows,
    0, state, yRow, call.spare, oneOf(call),
  )
  for (let r: usize = 0; r < <usize>rows; ++r) {
    const weight: f32 = call.w ? load<f32>(call.w + ((row + r) << 2)) : 1
    addScaled(z, weight, call.features + r * xRow, call.dimK)
  }
}

/** How many keys each of the rows attends to, into `counts`; the least of those that attend to any, and the most above it. */
export function countKeys(call: Call, b: i32, first: i32, rows: i32): u64 {
  let least = call.keys
  let most = 0
  for (let r = 0; r < rows; ++r) {
    const count = keysOf(call, b, first + r)
    store<i32>(call.counts + (<usize>r << 2), count)
    if (count > 0) least = min(least, count)
    most = max(most, count)
  }
  return (<u64>most << 32) | <u64>least
}

/** The part of a block of keys, from key `block` on, that each of the rows attends to; `counts` of theirs. */
export function pairUpTo(call: Call, counts: usize, rows: i32, block: i32, keys: i32): void {
  for (let at: usize = 0; at < <usize>rows << 2; at += 4) {
    store<i32>(call.rowFrom + at, 0)
    store<i32>(call.rowTo + at, max(0, min(keys, load<i32>(counts + at) - block)))
  }
}

/**
 * The first of the unit's rows from `first` on whose keys end in another chunk than those of row `first`; rows are in the order of
 * their counts, with padding, whose count is 0, behind them.
 */
export function sameChunk(call: Call, first: i32, rows: i32): i32 {
  const chunk = chunkOf(load<i32>(call.counts + (<usize>first << 2)))
  let r = first
  while (r < rows) {
    const count = load<i32>(call.counts + (<usize>r << 2))
    if (count == 0 || (call.causal != 0 && chunkOf(count) != chunk)) break
    ++r
  }
  return r
}

/** The chunk in which the last of `count` keys lies; what stands before it is in the state. */
// @ts-ignore: decorator
@inline
export function chunkOf(count: i32): i32 {
  return (count - 1) / LINEAR_CHUNK
}

export function kvHeadOf(call: Call, head: i32): i32 {
  const b = head / call.heads
  return b * call.kvHeads + (head - b * call.heads) / (call.heads / call.kvHeads)
}

export function linearAttentionForward(call: Call, from: i32, to: i32): void {
  const chunks = chunksOf(call.queries)
  const vRow = <usize>call.dimV << 2
  for (let unit = from; unit < to; ++unit) {
    const head = unit / chunks
    const first = (unit - head * chunks) * LINEAR_CHUNK
    const rows = min(LINEAR_CHUNK, call.queries - first)
    const at = <usize>head * <usize>call.queries + <usize>first
    memory.fill(call.output + at * vRow, 0, <usize>rows * vRow)
    memory.fill(call.normaliser + (at << 2), 0, <usize>rows << 2)
    memory.fill(call.rowScale + (at << 2), 0, <usize>rows << 2)
    countKeys(call, head / call.heads, first, rows)
    for (let r = 0; r < rows; ) {
      if (load<i32>(call.counts + (<usize>r << 2)) == 0) {
        ++r
        continue
      }
      const end = sameChunk(call, r, rows)
      forwardRows(call, kvHeadOf(call, head), at + <usize>r, call.counts + (<usize>r << 2), end - r)
      r = end
    }
  }
}

/** Rows from row `at` of [batch, heads, queries] on, whose keys end in the same chunk. */
function forwardRows(call: Call, kvHead: i32, at: usize, counts: usize, rows: i32): void {
  const qRow = <usize>call.dimK << 2
  const vRow = <usize>call.dimV << 2
  const output = call.output + at * vRow
  const q = call.q + at * qRow
  const chunk = chunkOf(load<i32>(counts))
  const state = sumAt(call, kvHead, call.keys, chunk)
  features(q, rows * call.dimK, call.features)
  packTiles(call.features, rows, call.dimK, call.featurePack)
  addState(call, call.featurePack, rows, call.dimK, state, call.dimV, output)
  for (let r: usize = 0; r < <usize>rows; ++r) {
    store<f32>(call.rowSums + (r << 2), dotRows(call.features + r * qRow, zOf(call, state), call.dimK))
  }
  const block = chunk * LINEAR_CHUNK
  const keys = call.causal ? load<i32>(counts + (<usize>(rows - 1) << 2)) - block : 0
  const key = <usize>kvHead * <usize>call.keys + <usize>block
  const k = call.k + key * qRow
  const v = call.v + key * vRow
  const scaled = isScaled(call, scalesOf(call, state))
  let large = 0
  if (keys > 0) {
    features(k, keys * call.dimK, call.otherFeatures)
    pairUpTo(call, counts, rows, block, keys)
    addBlock(call, call.features, rows, call.dimK, call.otherFeatures, keys, v, call.dimV, output, true)
    large = firstLarge(k, keys, call.dimK)
  }
  for (let r: usize = 0; r < <usize>rows; ++r) {
    const sum = load<f32>(call.rowSums + (r << 2))
    store<f32>(call.normaliser + ((at + r) << 2), sum)
    if (sum == 0) memory.fill(output + r * vRow, 0, vRow)
    else divide(output + r * vRow, call.dimV, sum)
  }
  // asked of all rows at once, then of those in question
  const plain = !scaled && !isLarge(q, rows * call.dimK) && areFinite(output, rows * call.dimV)
  for (let r: usize = 0; r < <usize>rows; ++r) {
    const own = call.causal ? load<i32>(counts + (r << 2)) - block : 0
    const row = output + r * vRow
    if (isOrdinary(load<f32>(call.rowSums + (r << 2))) && own <= large) {
      if (plain || (!scaled && !isLarge(q + r * qRow, call.dimK) && areFinite(row, call.dimV))) continue
    }
    const into = (at + r) << 2
    forwardRow(call, q + r * qRow, state, k, v, own, row, call.normaliser + into, call.rowScale + into)
  }
}
