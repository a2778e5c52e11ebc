/**
 * What ops, steps and their kernels are told in: precision, phase, the types of elements, faults. `contract.ts` hands it on; ops
 * import it from here, since the contract knows their list.
 */

/** float32 runs on the SIMD kernels, float64 on the reference kernels. */
export type Precision = 'float32' | 'float64'

/** Which part of a request's life a step belongs to, for `Server-Timing`. */
export type Phase = 'decode' | 'compute' | 'encode'

/** Element types a tensor may have on the wire. */
export type ElementType =
  | 'float64'
  | 'float32'
  | 'float16'
  | 'bfloat16'
  | 'float8_e4m3'
  | 'bool'
  | 'int32'
  | 'int64'

/** Bytes of one element on the wire. */
export const ELEMENT_BYTES: Record<ElementType, number> = {
  float64: 8,
  float32: 4,
  float16: 2,
  bfloat16: 2,
  float8_e4m3: 1,
  bool: 1,
  int32: 4,
  int64: 8,
}

/** Element types of tensors that are written: `uint8` for pictures. */
export type WrittenType = ElementType | 'uint8'
export const WRITTEN_BYTES: Record<WrittenType, number> = { ...ELEMENT_BYTES, uint8: 1 }

/** Element types a buffer of a program may have. */
export type BufferType = 'float64' | 'float32' | 'int32' | 'uint8'

/** Index into `Task.buffers`. */
export type Ref = number

/** Something wrong with what the client sent that only reading the elements could tell. */
export interface Fault {
  kind: 'non_finite' | 'overflow' | 'bad_element' | 'bad_base64'
  /** flat index of the offending element, −1 where there is none */
  index: number
  /** what stands there, as text */
  found: string
}
