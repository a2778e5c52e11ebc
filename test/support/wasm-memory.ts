/** A shared memory to run kernels in, laid out as the server does: page 0 is the module's, tensors come after it. */
import type { BufferType } from '../../workers/contract.ts'
import { ALIGN, PAGE } from '../../workers/layout.ts'
import type { Allocate } from './attention-case.ts'

export interface WasmMemory {
  memory: WebAssembly.Memory
  allocate: Allocate
  /** A work area, filled with NaN bytes; its address. */
  scratch(bytes: number): number
  /** Gives everything back. */
  reset(): void
}

/** Bytes handed out are 0xff first: NaN in every float type. */
export function wasmMemory(megabytes: number): WasmMemory {
  const pages = megabytes * 16
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true })
  let next = PAGE
  const take = (bytes: number): number => {
    const at = next
    next += Math.ceil(bytes / ALIGN) * ALIGN + ALIGN
    if (next > pages * PAGE) throw new Error(`the test's memory of ${megabytes} MiB is too small`)
    new Uint8Array(memory.buffer, at, next - at).fill(0xff)
    return at
  }
  const arrays = { float64: Float64Array, float32: Float32Array, int32: Int32Array, uint8: Uint8Array }
  return {
    memory,
    allocate: ((type: BufferType, length: number) => {
      const array = arrays[type]
      return new array(
        memory.buffer as ArrayBufferLike as ArrayBuffer,
        take(length * array.BYTES_PER_ELEMENT),
        length,
      )
    }) as unknown as Allocate,
    scratch: take,
    reset: () => {
      next = PAGE
    },
  }
}
