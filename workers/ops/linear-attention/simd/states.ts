/** Where the states of chunks and their sums stand, and which keys a row attends to. */
import { Call, LINEAR_CHUNK } from '../../../wasm/generated/linear-attention'

/** The address of the products' factor 1. */
// @ts-ignore: decorator
@inline
export function oneOf(call: Call): usize {
  return changetype<usize>(call) + offsetof<Call>('one')
}

export function chunksOf(positions: i32): i32 {
  return (positions + LINEAR_CHUNK - 1) / LINEAR_CHUNK
}

/** Bytes of one state: S [dimK, dimV], z [dimK] and the scales [dimK]. */
export function stateBytes(call: Call): usize {
  return (<usize>call.dimK * <usize>(call.dimV + 2)) << 2
}

/** z and the scales of a state. */
// @ts-ignore: decorator
@inline
export function zOf(call: Call, state: usize): usize {
  return state + ((<usize>call.dimK * <usize>call.dimV) << 2)
}

// @ts-ignore: decorator
@inline
export function scalesOf(call: Call, state: usize): usize {
  return zOf(call, state) + (<usize>call.dimK << 2)
}

/** Whether the scales say something: of a dimension in which something was summed, other than 0. */
export function isScaled(call: Call, scales: usize): bool {
  for (let d: usize = 0; d < <usize>call.dimK << 2; d += 4) {
    const m = load<f32>(scales + d)
    if (m != 0 && m != -Infinity) return true
  }
  return false
}

/** The sum numbered `slot` of a kv head, on the side that has `positions` positions. */
export function sumAt(call: Call, kvHead: i32, positions: i32, slot: i32): usize {
  const slots = call.causal ? chunksOf(positions) + 1 : 1
  return call.sums + <usize>(kvHead * slots + (call.causal ? slot : 0)) * stateBytes(call)
}

/** The interval of row i of batch b. */
// @ts-ignore: decorator
@inline
function intervalAt(call: Call, b: i32, i: i32): usize {
  return call.intervals + (<usize>(b * call.intervalBatch + i) << 3)
}

/** How many keys, from the first on, row i attends to. */
export function keysOf(call: Call, b: i32, i: i32): i32 {
  if (!call.intervals) return call.keys
  const interval = intervalAt(call, b, i)
  const to = load<i32>(interval, 4)
  return load<i32>(interval) < to ? to : 0
}

/** Rows that are no padding, whose intervals begin before the last key. By bisection. */
export function liveQueries(call: Call, b: i32): i32 {
  if (!call.intervals) return call.keys > 0 ? call.queries : 0
  let first = 0
  let last = call.queries
  while (first < last) {
    const row = (first + last) >> 1
    if (load<i32>(intervalAt(call, b, row)) >= call.keys) last = row
    else first = row + 1
  }
  return first
}

/** Keys, from the first on, that any row attends to. */
export function seenKeys(call: Call, b: i32): i32 {
  const rows = liveQueries(call, b)
  return rows == 0 ? 0 : keysOf(call, b, rows - 1)
}

/** The first row that attends to key j. By bisection. */
export function firstRow(call: Call, b: i32, j: i32): i32 {
  if (!call.intervals) return 0
  let first = 0
  let last = call.queries
  while (first < last) {
    const row = (first + last) >> 1
    if (load<i32>(intervalAt(call, b, row), 4) > j) last = row
    else first = row + 1
  }
  return first
}
