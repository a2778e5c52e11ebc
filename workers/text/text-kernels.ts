/**
 * The text kernels: AssemblyScript compiled to WebAssembly, which read and write numbers as text in the shared memory.
 * Addresses are bytes of that memory. An instance holds nothing between calls but what the next getter tells.
 */
import { readFileSync } from 'node:fs'
import { writeTables } from './tables.ts'

/** Where `scripts/build-kernels.ts` puts the module. */
export const TEXT_MODULE = new URL('./build/text.wasm', import.meta.url)

/** Meanings stand at the exports of `assembly/index.ts`. */
export interface TextKernels {
  skipSpace(from: number, end: number): number
  skipNumber(from: number): number
  skipString(from: number, end: number, most: number): number
  scanNumbers(progress: number, end: number, mostCount: number, most: number): number
  readNumber(from: number): number
  readElements(from: number, end: number, into: number, first: number, type: number, direct: number): void
  printFloat32(x: number, into: number): number
  printElements(
    ...call: [
      ...[values: number, wide: number, from: number, to: number, into: number, row: number],
      ...around: number[],
    ]
  ): number
  /** what the calls have left behind */
  readonly missing: number
  readonly after: number
  readonly escaped: boolean
  readonly index: number
  readonly position: number
}

interface Register {
  readonly value: number
}

type Exports = Omit<TextKernels, 'missing' | 'after' | 'escaped' | 'index' | 'position'> &
  Record<'missing' | 'after' | 'escaped' | 'index' | 'position' | 'tablesAt', Register>

export const ELEMENT_TYPE = { float64: 0, float32: 1, int32: 2, uint8: 3 } as const

let module: WebAssembly.Module | undefined

export function createTextKernels(memory: WebAssembly.Memory): TextKernels {
  module ??= new WebAssembly.Module(readFileSync(TEXT_MODULE))
  const instance = new WebAssembly.Instance(module, { env: { memory } })
  const wasm = instance.exports as unknown as Exports
  // every worker writes the same bytes
  writeTables(memory, wasm.tablesAt.value)
  // WebAssembly's integers arrive signed: addresses from 2 GiB on must be made unsigned
  return {
    skipSpace: (from, end) => wasm.skipSpace(from, end) >>> 0,
    skipNumber: from => wasm.skipNumber(from) >>> 0,
    skipString: (from, end, most) => wasm.skipString(from, end, most) >>> 0,
    scanNumbers: wasm.scanNumbers,
    readNumber: wasm.readNumber,
    readElements: wasm.readElements,
    printFloat32: (x, into) => wasm.printFloat32(x, into) >>> 0,
    printElements: (...call) => wasm.printElements(...call) >>> 0,
    get missing() {
      return wasm.missing.value >>> 0
    },
    get after() {
      return wasm.after.value >>> 0
    },
    get escaped() {
      return wasm.escaped.value !== 0
    },
    get index() {
      return wasm.index.value >>> 0
    },
    get position() {
      return wasm.position.value >>> 0
    },
  }
}
