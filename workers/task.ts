/**
 * The contract between the server's main thread and its compute workers: data only, no classes, no functions.
 *
 * A task is a run of steps of one program. Every tensor lives in one shared `WebAssembly.Memory`; a task names its
 * buffers by place, so nothing is copied between threads.
 */

/** float32 runs on the SIMD kernels, float64 on the reference kernels. */
export type Precision = 'float32' | 'float64'

/** Which part of a request's life a step belongs to, for `Server-Timing`. */
export type Phase = 'decode' | 'compute' | 'encode'

/** Element types a tensor may have on the wire. */
export type ElementType = 'float64' | 'float32' | 'float16' | 'bfloat16' | 'bool' | 'int32' | 'int64'

/** Bytes of one element on the wire. */
export const ELEMENT_BYTES: Record<ElementType, number> = {
  float64: 8,
  float32: 4,
  float16: 2,
  bfloat16: 2,
  bool: 1,
  int32: 4,
  int64: 8,
}

/** Element types of tensors that are written: `uint8` for pictures. */
export type WrittenType = ElementType | 'uint8'
export const WRITTEN_BYTES: Record<WrittenType, number> = { ...ELEMENT_BYTES, uint8: 1 }

/** Element types a buffer of a program may have. */
export type BufferType = 'float64' | 'float32' | 'int32' | 'uint8'

/** A buffer: where it stands in the shared memory (byte offset, aligned to 64) and how many elements it has. */
export interface BufferPlace {
  type: BufferType
  offset: number
  length: number
}

/** Index into `Task.buffers`. */
export type Ref = number

/** Query rows of one unit of `attentionForward`, `attentionMaps` and `attentionMaskGradient`. */
export const QUERY_TILE = 24

/** Keys of one unit of `attentionBackward`. */
export const KEY_BLOCK = 96

/**
 * What scaled dot-product attention computes, apart from its tensors. Everything is normalised to rank 4:
 * q [batch, heads, queries, dimK], k [batch, kvHeads, keys, dimK], v [batch, kvHeads, keys, dimV].
 * Query head h reads kv head ⌊h·kvHeads/heads⌋; heads is a multiple of kvHeads.
 */
export interface AttentionArgs {
  batch: number
  heads: number
  kvHeads: number
  queries: number
  keys: number
  dimK: number
  dimV: number
  /** s = scale · q·k */
  scale: number
  /** s → softcap·tanh(s/softcap); 0 = none */
  softcap: number
  /** rows between the intervals of neighbours along [batch, heads]; 0 where they share them */
  intervalStrides: [number, number]
  /** what is added to a row's index to place it among the keys, where no tensor `shifts` says it; for ALiBi */
  shift: number
  /** bool: a byte an element, 0 = masked; float: added to the scores, −∞ masks (element type = the precision's) */
  maskKind: 'none' | 'bool' | 'float'
  /**
   * `attentionBackward` goes through the keys of a head in so many parts, independent of each other: part 0 writes gradQ, the
   * others gradQParts, to be added to it in their order; default 1
   */
  parts?: number
  /** passes over the same keys that come before this one, see `earlierRanks` of the kernels' tensors; default 0 */
  earlier?: number
  /** elements between neighbours of the mask along [batch, heads, queries, keys]; 0 where it is broadcast */
  maskStrides: [number, number, number, number]
  /** dropout of the weights, see `ops/dropout.ts` for the generator; p = 0 means none */
  dropoutP: number
  /** the seed's low and high 32 bits, unsigned */
  seedLow: number
  seedHigh: number
  /**
   * An input holds a NaN or an infinity (only with `non_finite: "propagate"`): the kernels must then take no shortcut
   * through 0·x = 0, because a masked position leaks nothing, not even a NaN that stands there.
   */
  careful: boolean
}

/** How the mask's gradient is laid out: the mask's extent along [batch, heads, queries, keys], 1 where broadcast. */
export interface MaskGradientArgs extends AttentionArgs {
  maskShape: [number, number, number, number]
}

/** Something wrong with what the client sent that only reading the elements could tell. */
export interface Fault {
  kind: 'non_finite' | 'overflow' | 'bad_element' | 'bad_base64'
  /** flat index of the offending element, −1 where there is none */
  index: number
  /** what stands there, as text */
  found: string
}
