/**
 * The gradients of linear attention, 96 rows at a time; g = scaled, c = gradNormaliser, ĝ = (g, c), v̂ = (v, 1):
 *
 *   ∂φ(q) = ĝ·Ŝᵀ + B·φ(k),  B = ĝ·v̂ᵀ               Ŝᵀ: Sᵀ with z below it, over the keys before the rows' chunk
 *   ∂φ(k) = v̂·T̂ᵀ + Bᵀ·φ(q)    ∂v = φ(k)·T + Aᵀ·g    T̂: the same of the queries after the keys' chunk, A = φ(q)·φ(k)ᵀ
 *
 * A and B only where causal allows the pair, in the blocks that the states leave out; then ∂x = φ′(x) ⊙ ∂φ(x).
 * The heads of a group are gone through in ascending order, and their blocks in ascending order.
 * Differentiates forward.ts. Writes gradQ; gradK and gradV, where given.
 */
import {
  addBlock, addScaled, addState, divide, dotRows, extend, features, packTiles, throughFeatures, transposeState,
} from './blocks'
import { LINEAR_CHUNK, Call } from '../../../wasm/generated/linear-attention'
import { backwardPair, backwardRow, scaledFeatures, throughScaled } from './scales'
import { chunksOf, firstRow, isScaled, keysOf, liveQueries, scalesOf, seenKeys, sumAt } from './states'
import { chunkOf, countKeys, kvHeadOf, pairUpTo, sameChunk } from './forward'

/** scaled = gradOutput/normaliser, gradNormaliser = −(gradOutput·output)/normaliser; zeros where the normaliser is 0. */
export function linearAttentionDelta(call: Call, from: i32, to: i32): void {
  const row = <usize>call.dimV << 2
  for (let r = from; r < to; ++r) {
    const at = <usize>r * row
    const normaliser = load<f32>(call.normaliser + (<usize>r << 2))
    const scaled = call.scaled + at
    let gradient: f32 = 0
    memory.fill(scaled, 0, row)
    if (normaliser != 0) {
      memory.copy(scaled, call.gradOutput + at, row)
      divide(scaled, call.dimV, normaliser)
      gradient = -dotRows(call.gradOutput + at, call.output + at, call.dimV) / normaliser
    }
    store<f32>(call.gradNormaliser + (<usize>r << 2), gradient)
  }
}

export function linearAttentionBackwardQuery(call: Call, from: i32, to: i32): void {
  const chunks = chunksOf(call.queries)
  const kRow = <usize>call.dimK << 2
  let transposed: usize = 0
  for (let unit = from; unit < to; ++unit) {
    const head = unit / chunks
    const first = (unit - head * chunks) * LINEAR_CHUNK
    const rows = min(LINEAR_CHUNK, call.queries - first)
    const kvHead = kvHeadOf(call, head)
    const at = <usize>head * <usize>call.queries + <usize>first
    memory.fill(call.gradQ + at * kRow, 0, <usize>rows * kRow)
    countKeys(call, head / call.heads, first, rows)
    for (let r = 0; r < rows; ) {
      const counts = call.counts + (<usize>r << 2)
      if (load<i32>(counts) == 0) {
        ++r
        continue
      }
      const end = sameChunk(call, r, rows)
      const state = sumAt(call, kvHead, call.keys, chunkOf(load<i32>(counts)))
      if (state != transposed) transposeState(call, state)
      transposed = state
      backwardRows(call, kvHead, at + <usize>r, counts, end - r, state)
      r = end
    }
  }
}

/** gradQ of rows from row `at` of [batch, heads, queries] on, whose keys end in the same chunk; `state`, transposed too, before it. */
function backwardRows(call: Call, kvHead: i32, at: usize, counts: usize, rows: i32, state: usize): void {
  const kRow = <usize>call.dimK << 2
  const vRow = <usize>call.dimV << 2
  const gradQ = call.gradQ + at * kRow
  const q = call.q + at * kRow
  const scaled = call.scaled + at * vRow
  extend(scaled, rows, call.dimV, call.gradNormaliser + (at << 2), call.extended)
  packTiles(call.extended, rows, call.dimV + 1, call.extendedPack)
  addState(call, call.extendedPack, rows, call.dimV + 1, call.stateTransposed, call.dimK, gradQ)
  const block = chunkOf(load<i32>(counts)) * LINEAR_CHUNK
  const keys = call.causal ? load<i32>(counts + (<usize>(rows - 1) << 2)) - block : 0
  const key = <usize>kvHead * <usize>call.keys + <usize>block
  const k = call.k + key * kRow
  const v = call.v + key * vRow
  if (keys > 0) {
    features(k, keys * call.dimK, call.otherFeatures)
    extend(v, keys, call.dimV, 0, call.otherExtended)
    pairUpTo(call, counts, rows, block, keys)
    addBlock(
      call, call.extended, rows, call.dimV + 1, call.otherExtended, keys, call.otherFeatures, call.dimK, gradQ, false,
    )
  }
  throughFeatures(gradQ, q, rows * call.dimK)
  for (let r: usize = 0; r < <usize>rows; ++r) {
    const scale = load<f32>(call.rowScale + ((at + r) << 2))
    if (scale == 0) continue
    const own = call.causal ? load<i32>(counts + (r << 2)) - block : 0
    const c = load<f32>(call.gradNormaliser + ((at + r) << 2))
    backwardRow(call, q + r * kRow, state, k, v, own, scaled + r * vRow, c, scale, gradQ + r * kRow)
  }
}

export function linearAttentionBackwardKey(call: Call, from: i32, to: i32): void {
  const chunks = chunksOf(call.keys)
  const kRow = <usize>call.dimK << 2
  const vRow = <usize>call.dimV << 2
  let transposed: usize = 0
  for (let unit = from; unit < to; ++unit) {
    const kvHead = unit / chunks
    const first = (unit - kvHead * chunks) * LINEAR_CHUNK
    const keys = min(LINEAR_CHUNK, call.keys - first)
    const b = kvHead / call.kvHeads
    const at = <usize>kvHead * <usize>call.keys + <usize>first
    const k = call.k + at * kRow
    const gradK = call.gradK ? call.gradK + at * kRow : 0
    const gradV = call.gradV ? call.gradV + at * vRow : 0
    if (gradK) memory.fill(gradK, 0, <usize>keys * kRow)
    if (gradV) memory.fill(gradV, 0, <usize>keys * vRow)
    const live = max(0, min(seenKeys(call, b) - first, keys))
    if (live == 0) continue

    const whole = min(chunksOf(firstRow(call, b, first + live - 1)), chunksOf(call.queries))
    const state = sumAt(call, kvHead, call.queries, whole)
    const scales = scalesOf(call, state)
    const scaled = isScaled(call, scales)
    features(k, live * call.dimK, call.features)
    if (scaled) scaledFeatures(call, k, live, scales, call.scaledFeatures)
    packTiles(scaled ? call.scaledFeatures : call.features, live, call.dimK, call.featurePack)
    extend(call.v + at * vRow, live, call.dimV, 0, call.extended)
    packTiles(call.extended, live, call.dimV + 1, call.extendedPack)
    if (gradV) addState(call, call.featurePack, live, call.dimK, state, call.dimV, gradV)
    if (gradK) {
      if (state != transposed) transposeState(call, state)
      transposed = state
      addState(call, call.extendedPack, live, call.dimV + 1, call.stateTransposed, call.dimK, gradK)
    }
    // where the state has scales, what it gives goes through φ apart from the pairs
    const pairs = scaled ? call.scaledFeatures : gradK
    if (scaled && gradK) {
      throughScaled(call, gradK, k, live, scales)
      memory.fill(pairs, 0, <usize>live * kRow)
    }
    if (call.causal) addRows(call, kvHead, first, live, whole * LINEAR_CHUNK, gradK ? pairs : 0, gradV)
    if (gradK) throughFeatures(pairs, k, live * call.dimK)
    if (scaled && gradK) addScaled(gradK, 1, pairs, live * call.dimK)
    if (call.causal) addScaledRows(call, kvHead, first, live, whole * LINEAR_CHUNK, gradK, gradV)
  }
}

/** The pairs of `live` keys with the rows that attend to some of them, have no scale, and stand before row `end`. */
function addRows(call: Call, kvHead: i32, first: i32, live: i32, end: i32, gradK: usize, gradV: usize): void {
  const b = kvHead / call.kvHeads
  const group = call.heads / call.kvHeads
  const kRow = <usize>call.dimK << 2
  const vRow = <usize>call.dimV << 2
  const last = min(end, liveQueries(call, b))
  for (let member = 0; member < group; ++member) {
    for (let block = (firstRow(call, b, first) / LINEAR_CHUNK) * LINEAR_CHUNK; block < last; block += LINEAR_CHUNK) {
      const rows = min(LINEAR_CHUNK, last - block)
      const row = <usize>(kvHead * group + member) * <usize>call.queries + <usize>block
      for (let j = 0; j < live; ++j) {
        store<i32>(call.rowFrom + (<usize>j << 2), max(0, min(rows, firstRow(call, b, first + j) - block)))
        store<i32>(call.rowTo + (<usize>j << 2), rows)
      }
      const scaled = call.scaled + row * vRow
      features(call.q + row * kRow, rows * call.dimK, call.otherFeatures)
      for (let r: usize = 0; r < <usize>rows; ++r) {
        if (load<f32>(call.rowScale + ((row + r) << 2)) != 0) memory.fill(call.otherFeatures + r * kRow, 0, kRow)
      }
      if (gradV) {
        addBlock(
          call, call.features, live, call.dimK, call.otherFeatures, rows, scaled, call.dimV, gradV, false,
        )
      }
      if (gradK) {
        extend(scaled, rows, call.dimV, call.gradNormaliser + (row << 2), call.otherExtended)
        addBlock(
          call, call.extended, live, call.dimV + 1, call.otherExtended, rows, call.otherFeatures, call.dimK, gradK, false,
        )
      }
    }
  }
}

/** The same pairs with the rows that have a scale, one by one. */
function addScaledRows(call: Call, kvHead: i32, first: i32, live: i32, end: i32, gradK: usize, gradV: usize): void {
  const b = kvHead / call.kvHeads
  const group = call.heads / call.kvHeads
  const kRow = <usize>call.dimK << 2
  const vRow = <usize>call.dimV << 2
  const key = <usize>kvHead * <usize>call.keys + <usize>first
  const last = min(end, liveQueries(call, b))
  for (let member = 0; member < group; ++member) {
    const head = <usize>(kvHead * group + member) * <usize>call.queries
    for (let i = firstRow(call, b, first); i < last; ++i) {
      const row = head + <usize>i
      const scale = load<f32>(call.rowScale + (row << 2))
      if (scale == 0) continue
      const c = load<f32>(call.gradNormaliser + (row << 2))
      for (let j: usize = 0; j < <usize>min(live, keysOf(call, b, i) - first); ++j) {
        backwardPair(
          call, call.q + row * kRow, call.k + (key + j) * kRow, call.v + (key + j) * vRow, call.scaled + row * vRow, c, scale,
          gradK ? gradK + j * kRow : 0, gradV ? gradV + j * vRow : 0,
        )
      }
    }
  }
}
