/**
 * The gradients of the recurrence (reference/backward.ts has the formulas), from the last event to the first. A unit is a chunk of a
 * state; it goes through the state's columns 16 by 16. For each block the states within the chunk are computed again from that at its
 * beginning. What a key or row has is a sum over columns: the unit sets it to zero, and each block adds its part.
 */
import { madd } from '../../../wasm/assembly/lanes'
import { Call, STATE_COLUMNS } from '../../../wasm/generated/recurrent-attention'
import { beginOf, chunksOf, keysOf, liveOf, rowsBefore, seenOf } from './events'
import { keyBackward } from './key-backward'
import { ROW, blockBytes, clearEdge, keyStep, loadBlock, loadRow, rowAt, storeBlock } from './state'
import { addSums, parts } from './sums'

export function recurrentBackward(call: Call, from: i32, to: i32): void {
  const chunks = chunksOf(call)
  for (let unit = from; unit < to; ++unit) {
    const chunk = chunks - 1 - (unit % chunks)
    const kvHead = unit / chunks
    const b = kvHead / call.kvHeads
    const live = liveOf(call, b)
    const begin = beginOf(call, chunk)
    const end = beginOf(call, chunk + 1)
    const rowFrom = rowsBefore(call, b, live, begin)
    const rowTo = rowsBefore(call, b, live, end)
    clear(call, kvHead, rowFrom, rowTo, begin - rowFrom, end - rowTo)
    for (let column = 0; column < call.dimV; column += STATE_COLUMNS) {
      runBlock(call, kvHead, chunk, column, rowFrom, rowTo, begin - rowFrom, end - rowTo)
    }
  }
}

/** Zeros for the rows and keys of the chunk. */
function clear(call: Call, kvHead: i32, rowFrom: i32, rowTo: i32, keyFrom: i32, keyTo: i32): void {
  const group = call.heads / call.kvHeads
  const kRow = <usize>call.dimK << 2
  for (let member = 0; call.gradQ && member < group; ++member) {
    const at = rowAt(kvHead * group + member, call.queries, rowFrom, call.dimK)
    memory.fill(call.gradQ + at, 0, <usize>(rowTo - rowFrom) * kRow)
  }
  const keys = <usize>(keyTo - keyFrom)
  if (call.gradK) memory.fill(call.gradK + rowAt(kvHead, call.keys, keyFrom, call.dimK), 0, keys * kRow)
  if (call.gradV) {
    memory.fill(call.gradV + rowAt(kvHead, call.keys, keyFrom, call.dimV), 0, keys * (<usize>call.dimV << 2))
  }
  const b = kvHead / call.kvHeads
  const h = kvHead % call.kvHeads
  for (let j = keyFrom; j < keyTo; ++j) {
    const gate = (<usize>b * <usize>call.keys + <usize>j) * <usize>call.kvHeads + <usize>h
    const bytes = <usize>call.decayDims << 2
    if (call.gradDecay) memory.fill(call.gradDecay + gate * bytes, 0, bytes)
    if (call.gradBeta) store<f32>(call.gradBeta + (gate << 2), 0)
  }
}

function runBlock(
  call: Call, kvHead: i32, chunk: i32, column: i32, rowFrom: i32, rowTo: i32, keyFrom: i32, keyTo: i32,
): void {
  const chunks = chunksOf(call)
  const b = kvHead / call.kvHeads
  const live = liveOf(call, b)
  const seen = seenOf(call, b)
  const width = min(STATE_COLUMNS, call.dimV - column)
  const state = <usize>call.dimK * (<usize>call.dimV << 2)
  const bytes = blockBytes(call)
  loadBlock(call, call.states + <usize>(kvHead * chunks + chunk) * state + (<usize>column << 2), width, call.within)
  let slot = call.within
  let error = call.errors
  for (let j = keyFrom; j < min(keyTo, seen); ++j) {
    keyStep(call, kvHead, j, column, width, slot, slot + bytes, error)
    slot += bytes
    error += ROW
  }
  const gradState = call.gradState + <usize>kvHead * state + (<usize>column << 2)
  if (chunk == chunks - 1) memory.fill(call.block, 0, bytes)
  else loadBlock(call, gradState, width, call.block)
  let i = rowTo
  let j = keyTo
  while (i > rowFrom || j > keyFrom) {
    if (i > rowFrom && keysOf(call, b, i - 1, live) == j) {
      --i
      if (i < live && (j > 0 || call.initial != 0)) rowBackward(call, kvHead, i, column, width, slot)
      continue
    }
    if (--j >= seen) continue
    slot -= bytes
    error -= ROW
    keyBackward(call, kvHead, j, column, width, slot, error)
  }
  storeBlock(call, call.block, width, gradState)
}

/** ∂q = S·(scale·∂o), and G += q·(scale·∂o)ᵀ, of every query head of the group. */
function rowBackward(call: Call, kvHead: i32, i: i32, column: i32, width: i32, slot: usize): void {
  const group = call.heads / call.kvHeads
  const scale = f32x4.splat(call.scale)
  const row = call.result
  for (let member = 0; member < group; ++member) {
    const head = kvHead * group + member
    loadRow(call.gradOutput + rowAt(head, call.queries, i, call.dimV) + (<usize>column << 2), width, row)
    const g0 = f32x4.mul(scale, v128.load(row))
    const g1 = f32x4.mul(scale, v128.load(row, 16))
    const g2 = f32x4.mul(scale, v128.load(row, 32))
    const g3 = f32x4.mul(scale, v128.load(row, 48))
    const at = rowAt(head, call.queries, i, call.dimK)
    let q = call.q + at
    const end = q + (<usize>call.dimK << 2)
    let S = slot
    let G = call.block
    let sums = call.sums
    for (; q < end; q += 4) {
      v128.store(
        sums,
        parts(v128.load(S), v128.load(S, 16), v128.load(S, 32), v128.load(S, 48), g0, g1, g2, g3),
      )
      const x = v128.load32_splat(q)
      v128.store(G, madd(x, g0, v128.load(G)))
      v128.store(G, madd(x, g1, v128.load(G, 16)), 16)
      v128.store(G, madd(x, g2, v128.load(G, 32)), 32)
      v128.store(G, madd(x, g3, v128.load(G, 48)), 48)
      S += ROW
      G += ROW
      sums += 16
    }
    if (call.gradQ) addSums(call.sums, call.dimK, call.gradQ + at)
    if (call.nonFinite && width < STATE_COLUMNS) clearEdge(call.block, call.dimK, width)
  }
}
