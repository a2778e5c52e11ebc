/** Calls into WebAssembly with plain arguments. */

export type WasmFunction = (...args: number[]) => void

/** Where a tensor stands in the shared memory; 0 where there is none. */
export function addressOf(tensor: { byteOffset: number } | undefined): number {
  return tensor?.byteOffset ?? 0
}
