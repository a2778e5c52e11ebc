/**
 * What a kernel of linear attention is asked to do: pointers, sizes, and areas of the task's scratch memory, written by
 * the loader (`../linear-attention-call.ts`) in this order; every field has four bytes. A pointer is 0 where there is no tensor.
 */
@unmanaged
export class LinearCall {
  // tensors
  q: usize
  k: usize
  v: usize
  output: usize
  normaliser: usize
  gradOutput: usize
  scaled: usize
  gradNormaliser: usize
  sums: usize
  gradQ: usize
  gradK: usize
  gradV: usize
  x: usize
  y: usize
  w: usize
  states: usize
  intervals: usize
  // sizes and rules
  batch: i32
  heads: i32
  kvHeads: i32
  queries: i32
  keys: i32
  dimK: i32
  dimV: i32
  /** rows between the intervals of neighbours along the batch; 0 where they share them */
  intervalBatch: i32
  /** rows attend to different numbers of keys: states are summed up to every chunk */
  causal: i32
  careful: i32
  queriesSide: i32
  /** 1: the products take their factor from memory */
  one: f32
  // scratch areas
  /** φ of the unit's rows, and of a block of the others [96][dimK] */
  features: usize
  otherFeatures: usize
  /** rows of dimV elements and one more [96][dimV + 1] */
  extended: usize
  otherExtended: usize
  /** Sᵀ, and z as its last row [dimV + 1][dimK] */
  stateTransposed: usize
  /** the unit's rows transposed, by tiles [4][dimK][24], [4][dimV + 1][24] */
  featurePack: usize
  extendedPack: usize
  /** a block's rows in panels [96/NR][dimK or dimV + 1][NR] */
  columnPack: usize
  /** the last, incomplete panel of a state [dimK or dimV + 1][NR] and of a block [96][NR] */
  stateEdge: usize
  blockEdge: usize
  /** [24][144]: φ(q)·φ(k), or the gradient of it */
  tile: usize
  /** i32 [96] each: how many keys a row attends to; the columns [rowFrom, rowTo) of a block that it pairs with */
  counts: usize
  rowFrom: usize
  rowTo: usize
  /** f32 [96] */
  rowSums: usize
  /** i32 [4][2]: the columns that a group of six rows needs */
  ranges: usize
  /** [6][NR] where a product meets the edge of its result */
  spare: usize
}

/** Positions of a unit (`LINEAR_CHUNK` of the contract); as many as a block of keys, so that the score tile fits. */
export const CHUNK: i32 = 96

/** The address of the products' factor 1. */
// @ts-ignore: decorator
@inline
export function oneOf(call: LinearCall): usize {
  return changetype<usize>(call) + offsetof<LinearCall>('one')
}

export function chunksOf(positions: i32): i32 {
  return (positions + CHUNK - 1) / CHUNK
}

/** Bytes of one state: S [dimK, dimV] and z [dimK]. */
export function stateBytes(call: LinearCall): usize {
  return (<usize>call.dimK * <usize>(call.dimV + 1)) << 2
}

/** The sum numbered `slot` of a kv head, on the side that has so many positions. */
export function sumAt(call: LinearCall, kvHead: i32, positions: i32, slot: i32): usize {
  const slots = call.causal ? chunksOf(positions) + 1 : 1
  return call.sums + <usize>(kvHead * slots + (call.causal ? slot : 0)) * stateBytes(call)
}

/** The interval of row i of batch b. */
// @ts-ignore: decorator
@inline
function intervalAt(call: LinearCall, b: i32, i: i32): usize {
  return call.intervals + (<usize>(b * call.intervalBatch + i) << 3)
}

/** How many keys, from the first on, row i attends to. */
export function keysOf(call: LinearCall, b: i32, i: i32): i32 {
  if (!call.intervals) return call.keys
  const interval = intervalAt(call, b, i)
  const to = load<i32>(interval, 4)
  return load<i32>(interval) < to ? to : 0
}

/** Rows that are no padding, whose intervals begin before the last key. By bisection. */
export function liveQueries(call: LinearCall, b: i32): i32 {
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
export function seenKeys(call: LinearCall, b: i32): i32 {
  const rows = liveQueries(call, b)
  return rows == 0 ? 0 : keysOf(call, b, rows - 1)
}

/** The first row that attends to key j. By bisection. */
export function firstRow(call: LinearCall, b: i32, j: i32): i32 {
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
