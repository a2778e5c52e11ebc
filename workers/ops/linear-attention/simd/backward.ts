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
import { addBlock, addState, divide, dotRows, extend, features, packTiles, throughFeatures, transposeState } from './blocks'
import { LINEAR_CHUNK, Call } from '../../../wasm/generated/linear-attention'
import { chunksOf, firstRow, liveQueries, seenKeys, sumAt } from './states'
import { countKeys, kvHeadOf, pairUpTo } from './forward'

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
  const vRow = <usize>call.dimV << 2
  let transposed: usize = 0
  for (let unit = from; unit < to; ++unit) {
    const head = unit / chunks
    const first = (unit - head * chunks) * LINEAR_CHUNK
    const rows = min(LINEAR_CHUNK, call.queries - first)
    const kvHead = kvHeadOf(call, head)
    const at = <usize>head * <usize>call.queries + <usize>first
    const gradQ = call.gradQ + at * kRow
    memory.fill(gradQ, 0, <usize>rows * kRow)
    const counts = countKeys(call, head / call.heads, first, rows)
    const most = <i32>(counts >> 32)
    if (most == 0) continue

    const chunk = <i32>counts / LINEAR_CHUNK
    const state = sumAt(call, kvHead, call.keys, chunk)
    if (state != transposed) transposeState(call, state)
    transposed = state
    extend(call.scaled + at * vRow, rows, call.dimV, call.gradNormaliser + (at << 2), call.extended)
    packTiles(call.extended, rows, call.dimV + 1, call.extendedPack)
    addState(call, call.extendedPack, rows, call.dimV + 1, call.stateTransposed, call.dimK, gradQ)
    if (call.causal) {
      for (let block = chunk * LINEAR_CHUNK; block < most; block += LINEAR_CHUNK) {
        const keys = min(LINEAR_CHUNK, most - block)
        const key = <usize>kvHead * <usize>call.keys + <usize>block
        features(call.k + key * kRow, keys * call.dimK, call.otherFeatures)
        extend(call.v + key * vRow, keys, call.dimV, 0, call.otherExtended)
        pairUpTo(call, rows, block, keys)
        addBlock(
          call, call.extended, rows, call.dimV + 1, call.otherExtended, keys, call.otherFeatures, call.dimK, gradQ, false,
        )
      }
    }
    for (let r: usize = 0; r < <usize>rows; ++r) {
      if (load<i32>(call.counts + (r << 2)) == 0) memory.fill(gradQ + r * kRow, 0, kRow)
    }
    throughFeatures(gradQ, call.q + at * kRow, rows * call.dimK)
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
    const gradK = call.gradK + at * kRow
    const gradV = call.gradV + at * vRow
    if (call.gradK) memory.fill(gradK, 0, <usize>keys * kRow)
    if (call.gradV) memory.fill(gradV, 0, <usize>keys * vRow)
    const live = max(0, min(seenKeys(call, b) - first, keys))
    if (live == 0) continue

    const whole = min(chunksOf(firstRow(call, b, first + live - 1)), chunksOf(call.queries))
    const state = sumAt(call, kvHead, call.queries, whole)
    features(call.k + at * kRow, live * call.dimK, call.features)
    packTiles(call.features, live, call.dimK, call.featurePack)
    extend(call.v + at * vRow, live, call.dimV, 0, call.extended)
    packTiles(call.extended, live, call.dimV + 1, call.extendedPack)
    if (call.gradV) addState(call, call.featurePack, live, call.dimK, state, call.dimV, gradV)
    if (call.gradK) {
      if (state != transposed) transposeState(call, state)
      transposed = state
      addState(call, call.extendedPack, live, call.dimV + 1, call.stateTransposed, call.dimK, gradK)
    }
    if (call.causal) addRows(call, kvHead, first, live, whole * LINEAR_CHUNK, gradK, gradV)
    if (call.gradK) throughFeatures(gradK, call.k + at * kRow, live * call.dimK)
  }
}

/** The pairs of `live` keys with the rows that attend to some of them and stand before row `end`. */
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
      if (call.gradV) {
        addBlock(
          call, call.features, live, call.dimK, call.otherFeatures, rows, scaled, call.dimV, gradV, false,
        )
      }
      if (call.gradK) {
        extend(scaled, rows, call.dimV, call.gradNormaliser + (row << 2), call.otherExtended)
        addBlock(
          call, call.extended, live, call.dimV + 1, call.otherExtended, rows, call.otherFeatures, call.dimK, gradK, false,
        )
      }
    }
  }
}
