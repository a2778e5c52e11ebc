/** The part of the WebAssembly API that this project uses; TypeScript knows it only as part of the browser's DOM. */
declare namespace WebAssembly {
  interface MemoryDescriptor {
    initial: number
    maximum?: number
    shared?: boolean
  }
  class Memory {
    constructor(descriptor: MemoryDescriptor)
    readonly buffer: SharedArrayBuffer
    /** Grows by `pages` of 64 KiB; returns the size before. */
    grow(pages: number): number
  }
  class Module {
    constructor(bytes: ArrayBufferView<ArrayBuffer>)
  }
  class Instance {
    constructor(module: Module, imports?: Record<string, Record<string, unknown>>)
    readonly exports: Record<string, unknown>
  }
}
