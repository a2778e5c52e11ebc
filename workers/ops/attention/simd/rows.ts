/**
 * Where rows stand of q, the output and their gradients, [batch, heads, queries], and of k, v and theirs, [batch, kvHeads, keys]; or
 * with positions before heads. What there is of each row besides, and maps, always have heads first.
 */
import { Call } from '../../../wasm/generated/attention'
import { Place } from './place'

/** Whether other rows stand between those of a head. */
// @ts-ignore: decorator
@inline
export function areApart(call: Call): bool {
  return call.positionsFirst != 0 && call.heads > 1
}

/** Rows from a query of a head to the next. */
// @ts-ignore: decorator
@inline
function queryStep(call: Call): i32 {
  return call.positionsFirst ? call.heads : 1
}

// @ts-ignore: decorator
@inline
function keyStep(call: Call): i32 {
  return call.positionsFirst ? call.kvHeads : 1
}

/** Bytes from a row of a head to the next, `dim` elements each. */
// @ts-ignore: decorator
@inline
export function queryRow(call: Call, dim: i32): usize {
  return <usize>(queryStep(call) * dim) << 2
}

// @ts-ignore: decorator
@inline
export function keyRow(call: Call, dim: i32): usize {
  return <usize>(keyStep(call) * dim) << 2
}

/** Bytes before query `row` of the place's head. */
// @ts-ignore: decorator
@inline
export function queryOffset(call: Call, place: Place, row: i32, dim: i32): usize {
  const rows = <usize>(place.b * call.heads) * <usize>call.queries + <usize>place.h * <usize>(call.positionsFirst ? 1 : call.queries)
  return ((rows + <usize>row * <usize>queryStep(call)) * <usize>dim) << 2
}

/** Bytes before key `key` of the place's head. */
// @ts-ignore: decorator
@inline
export function keyOffset(call: Call, place: Place, key: i32, dim: i32): usize {
  const first = place.b * call.kvHeads
  const head = <usize>(place.kvHead - first)
  const rows = <usize>first * <usize>call.keys + head * <usize>(call.positionsFirst ? 1 : call.keys)
  return ((rows + <usize>key * <usize>keyStep(call)) * <usize>dim) << 2
}

/** `rows` rows of `dim` elements that are `step` bytes apart become 0. */
export function clearRows(at: usize, rows: i32, dim: i32, step: usize): void {
  const width = <usize>dim << 2
  if (step == width) {
    memory.fill(at, 0, <usize>rows * width)
    return
  }
  for (; rows > 0; --rows) {
    memory.fill(at, 0, width)
    at += step
  }
}

/** The output of the place's first row. */
// @ts-ignore: decorator
@inline
export function outputOf(call: Call, place: Place): usize {
  return call.output + queryOffset(call, place, place.row, call.dimV)
}

/** Larger tensors would not be near any more when their rows are wanted. */
const MOST_FETCHED: usize = 1 << 20

/**
 * Reads a tensor's rows of batch element b, [positions, heads, dim], from the first to the last. Where memory is far, the heads'
 * own rows come slowly, because they are apart: what has just been read in order is near.
 */
export function fetchRows(call: Call, tensor: usize, b: i32, rows: i32, dim: i32): void {
  const bytes = (<usize>rows * <usize>dim) << 2
  if (bytes > MOST_FETCHED) return
  let sum: u32 = 0
  for (let at = tensor + <usize>b * bytes, end = at + bytes; at < end; at += 64) sum |= load<u32>(at)
  // what is not used might not be read
  store<u32>(call.spare, sum)
}
