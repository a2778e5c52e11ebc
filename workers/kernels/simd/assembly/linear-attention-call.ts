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
  qLengths: usize
  kvLengths: usize
  // sizes and rules
  batch: i32
  heads: i32
  kvHeads: i32
  queries: i32
  keys: i32
  dimK: i32
  dimV: i32
  bottomRight: i32
  pastKeys: i32
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

export function liveQueries(call: LinearCall, b: i32): i32 {
  return call.qLengths ? load<i32>(call.qLengths + (<usize>b << 2)) : call.queries
}

export function liveKeys(call: LinearCall, b: i32): i32 {
  return call.kvLengths ? load<i32>(call.kvLengths + (<usize>b << 2)) : call.keys
}

export function shiftOf(call: LinearCall, b: i32): i32 {
  return call.bottomRight ? liveKeys(call, b) - liveQueries(call, b) : call.pastKeys
}

/** Keys, from the first on, that any row attends to. */
export function seenKeys(call: LinearCall, b: i32): i32 {
  const rows = liveQueries(call, b)
  const keys = liveKeys(call, b)
  if (rows == 0) return 0
  return call.causal ? max(0, min(keys, rows + shiftOf(call, b))) : keys
}

/** The first row that attends to key j. */
export function firstRow(call: LinearCall, b: i32, j: i32): i32 {
  return call.causal ? max(0, j - shiftOf(call, b)) : 0
}
