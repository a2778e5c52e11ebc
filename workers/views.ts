/** Typed-array views of buffers in shared memory. */
import type { BufferPlace } from './contract.ts'

export type BufferView = Float64Array | Float32Array | Int32Array | Uint8Array

/** Made anew for each task: a view made before the memory grew does not reach what came later. */
export function bufferView(memory: WebAssembly.Memory, { type, offset, length }: BufferPlace): BufferView {
  switch (type) {
    case 'float64':
      return new Float64Array(memory.buffer, offset, length)
    case 'float32':
      return new Float32Array(memory.buffer, offset, length)
    case 'int32':
      return new Int32Array(memory.buffer, offset, length)
    case 'uint8':
      return new Uint8Array(memory.buffer, offset, length)
  }
}
