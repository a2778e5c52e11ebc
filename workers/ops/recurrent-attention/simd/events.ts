/** The order of keys and rows: a row comes right behind the last key that it attends to (reference/events.ts). */
import { Call, RECURRENT_CHUNK, STATE_COLUMNS } from '../../../wasm/generated/recurrent-attention'

// @ts-ignore: decorator
@inline
export function chunksOf(call: Call): i32 {
  return max(1, (call.queries + call.keys + RECURRENT_CHUNK - 1) / RECURRENT_CHUNK)
}

// @ts-ignore: decorator
@inline
export function blocksOf(call: Call): i32 {
  return (call.dimV + STATE_COLUMNS - 1) / STATE_COLUMNS
}

/** Rows of batch b that are no padding. */
export function liveOf(call: Call, b: i32): i32 {
  return call.qLengths ? min(call.queries, load<i32>(call.qLengths + (<usize>b << 2))) : call.queries
}

/** Keys of batch b that are no padding. */
export function seenOf(call: Call, b: i32): i32 {
  return call.kvLengths ? min(call.keys, load<i32>(call.kvLengths + (<usize>b << 2))) : call.keys
}

/** How many keys row i attends to; padding comes behind all keys. */
// @ts-ignore: decorator
@inline
export function keysOf(call: Call, b: i32, i: i32, live: i32): i32 {
  if (i >= live || !call.intervals) return call.keys
  return load<i32>(call.intervals + (<usize>(b * call.intervalBatch + i) << 3), 4)
}

/** Events before a chunk. */
// @ts-ignore: decorator
@inline
export function beginOf(call: Call, chunk: i32): i32 {
  return min(chunk * RECURRENT_CHUNK, call.queries + call.keys)
}

/** How many rows come before that many events. */
export function rowsBefore(call: Call, b: i32, live: i32, events: i32): i32 {
  let low = 0
  let high = call.queries
  while (low < high) {
    const middle = (low + high) >> 1
    if (middle + keysOf(call, b, middle, live) < events) low = middle + 1
    else high = middle
  }
  return low
}
