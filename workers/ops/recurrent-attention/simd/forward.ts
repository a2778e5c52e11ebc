/** The recurrence (reference/forward.ts), 16 columns of a state together. A unit is a chunk of events of such a block. */
import { madd } from '../../../wasm/assembly/lanes'
import { Call, STATE_COLUMNS } from '../../../wasm/generated/recurrent-attention'
import { beginOf, blocksOf, chunksOf, keysOf, liveOf, rowsBefore, seenOf } from './events'
import { ROW, blockBytes, keyStep, loadBlock, rowAt, storeBlock } from './state'

export function recurrentForward(call: Call, from: i32, to: i32): void {
  const chunks = chunksOf(call)
  const blocks = blocksOf(call)
  const state = <usize>call.dimK * (<usize>call.dimV << 2)
  for (let unit = from; unit < to; ++unit) {
    const chunk = unit % chunks
    const kvHead = unit / (chunks * blocks)
    const column = ((unit / chunks) % blocks) * STATE_COLUMNS
    const width = min(STATE_COLUMNS, call.dimV - column)
    const at = <usize>kvHead * state + (<usize>column << 2)
    const before = chunk > 0 ? call.state : call.initial
    if (before) loadBlock(call, before + at, width, call.block)
    else memory.fill(call.block, 0, blockBytes(call))
    if (call.states) {
      const slot = <usize>(kvHead * chunks + chunk) * state + (<usize>column << 2)
      storeBlock(call, call.block, width, call.states + slot)
    }
    runChunk(call, kvHead, chunk, column, width)
    storeBlock(call, call.block, width, call.state + at)
  }
}

function runChunk(call: Call, kvHead: i32, chunk: i32, column: i32, width: i32): void {
  const b = kvHead / call.kvHeads
  const live = liveOf(call, b)
  const seen = seenOf(call, b)
  const begin = beginOf(call, chunk)
  const end = beginOf(call, chunk + 1)
  let i = rowsBefore(call, b, live, begin)
  let j = begin - i
  for (let event = begin; event < end; ++event) {
    if (i < call.queries && keysOf(call, b, i, live) <= j) {
      const reads = i < live && (j > 0 || call.initial != 0)
      if (call.output) readRow(call, kvHead, i, column, width, reads)
      i += 1
    } else {
      if (j < seen) keyStep(call, kvHead, j, column, width, call.block, call.block, 0)
      j += 1
    }
  }
}

/** o = Sᵀ(scale·q) of every query head of the group. */
function readRow(call: Call, kvHead: i32, i: i32, column: i32, width: i32, reads: bool): void {
  const group = call.heads / call.kvHeads
  const bytes = <usize>width << 2
  const scale = call.scale
  for (let member = 0; member < group; ++member) {
    const head = kvHead * group + member
    const output = call.output + rowAt(head, call.queries, i, call.dimV) + (<usize>column << 2)
    if (!reads) {
      memory.fill(output, 0, bytes)
      continue
    }
    let q = call.q + rowAt(head, call.queries, i, call.dimK)
    const end = q + (<usize>call.dimK << 2)
    let block = call.block
    let o0 = f32x4.splat(0)
    let o1 = o0
    let o2 = o0
    let o3 = o0
    for (; q < end; q += 4) {
      const x = f32x4.splat(scale * load<f32>(q))
      o0 = madd(x, v128.load(block), o0)
      o1 = madd(x, v128.load(block, 16), o1)
      o2 = madd(x, v128.load(block, 32), o2)
      o3 = madd(x, v128.load(block, 48), o3)
      block += ROW
    }
    const result = call.result
    v128.store(result, o0)
    v128.store(result, o1, 16)
    v128.store(result, o2, 32)
    v128.store(result, o3, 48)
    memory.copy(output, result, bytes)
  }
}
