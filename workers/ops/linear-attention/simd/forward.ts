/**
 * Linear attention: states of chunks, and from their sums the output of 96 query rows at a time.
 *
 *   states: S = Σ φ(x_r)·y_rᵀ, z = Σ φ(x_r)·w_r over the rows of a chunk
 *   output = (φ(q)·S + A·v)/normaliser, normaliser = φ(q)·z + Σ A,  A = φ(q)·φ(k)ᵀ where causal allows it
 *
 * S and z are the sums before the chunk in which the first row's keys end; A covers the keys from there on: one block of
 * 96 keys, or two where rows and keys are not aligned to chunks. Which, depends on the sizes alone.
 * Hazards and source: reference.ts. Writes states; output and normaliser.
 */
import { addBlock, addScaled, addState, divide, dotRows, features, packTiles } from './blocks'
import { LINEAR_CHUNK, Call, SIDE_QUERIES } from '../../../wasm/generated/linear-attention'
import { chunksOf, firstRow, keysOf, liveQueries, oneOf, seenKeys, stateBytes, sumAt } from './states'
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
    memory.fill(state, 0, stateBytes(call))
    if (rows <= 0) continue
    const row = <usize>head * <usize>positions + <usize>begin
    const xRow = <usize>call.dimK << 2
    const yRow = <usize>call.dimV << 2
    features(call.x + row * xRow, rows * call.dimK, call.features)
    packEdge(call.y + row * yRow, rows, call.dimV, call.blockEdge)
    product<Columns, Add>(
      call.features, xRow, call.dimK, call.y + row * yRow, yRow, call.blockEdge, call.dimV, rows,
      0, state, yRow, call.spare, oneOf(call),
    )
    const z = state + <usize>call.dimK * yRow
    for (let r: usize = 0; r < <usize>rows; ++r) {
      const weight: f32 = call.w ? load<f32>(call.w + ((row + r) << 2)) : 1
      addScaled(z, weight, call.features + r * xRow, call.dimK)
    }
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

/** The part of a block of keys, from key `block` on, that each row attends to. */
export function pairUpTo(call: Call, rows: i32, block: i32, keys: i32): void {
  for (let at: usize = 0; at < <usize>rows << 2; at += 4) {
    store<i32>(call.rowFrom + at, 0)
    store<i32>(call.rowTo + at, max(0, min(keys, load<i32>(call.counts + at) - block)))
  }
}

export function kvHeadOf(call: Call, head: i32): i32 {
  const b = head / call.heads
  return b * call.kvHeads + (head - b * call.heads) / (call.heads / call.kvHeads)
}

export function linearAttentionForward(call: Call, from: i32, to: i32): void {
  const chunks = chunksOf(call.queries)
  const qRow = <usize>call.dimK << 2
  const vRow = <usize>call.dimV << 2
  for (let unit = from; unit < to; ++unit) {
    const head = unit / chunks
    const first = (unit - head * chunks) * LINEAR_CHUNK
    const rows = min(LINEAR_CHUNK, call.queries - first)
    const kvHead = kvHeadOf(call, head)
    const at = <usize>head * <usize>call.queries + <usize>first
    const output = call.output + at * vRow
    memory.fill(output, 0, <usize>rows * vRow)
    memory.fill(call.normaliser + (at << 2), 0, <usize>rows << 2)
    const counts = countKeys(call, head / call.heads, first, rows)
    const most = <i32>(counts >> 32)
    if (most == 0) continue

    const chunk = <i32>counts / LINEAR_CHUNK
    const state = sumAt(call, kvHead, call.keys, chunk)
    features(call.q + at * qRow, rows * call.dimK, call.features)
    packTiles(call.features, rows, call.dimK, call.featurePack)
    addState(call, call.featurePack, rows, call.dimK, state, call.dimV, output)
    for (let r: usize = 0; r < <usize>rows; ++r) {
      const sum = dotRows(call.features + r * qRow, state + <usize>call.dimK * vRow, call.dimK)
      store<f32>(call.rowSums + (r << 2), sum)
    }
    if (call.causal) {
      for (let block = chunk * LINEAR_CHUNK; block < most; block += LINEAR_CHUNK) {
        const keys = min(LINEAR_CHUNK, most - block)
        const key = <usize>kvHead * <usize>call.keys + <usize>block
        features(call.k + key * qRow, keys * call.dimK, call.otherFeatures)
        pairUpTo(call, rows, block, keys)
        addBlock(
          call, call.features, rows, call.dimK, call.otherFeatures, keys, call.v + key * vRow, call.dimV, output, true,
        )
      }
    }
    for (let r: usize = 0; r < <usize>rows; ++r) {
      const sum = load<f32>(call.rowSums + (r << 2))
      const empty = load<i32>(call.counts + (r << 2)) == 0 || sum == 0
      store<f32>(call.normaliser + ((at + r) << 2), empty ? 0 : sum)
      if (empty) memory.fill(output + r * vRow, 0, vRow)
      else divide(output + r * vRow, call.dimV, sum)
    }
  }
}
