/** The text kernels in a memory of their own, and texts in it. */
import { scanJson } from '../../workers/text/json-scan.ts'
import type { JsonScan } from '../../workers/text/json-spans.ts'
import { createTextKernels } from '../../workers/text/text-kernels.ts'

const PAGE = 65536
const PAGES = 2048
const memory = new WebAssembly.Memory({ initial: PAGES, maximum: PAGES, shared: true })
let next = 2 * PAGE
let turn = 0

export const kernels = createTextKernels(memory)

/** A work area for scans, in a page that nothing else uses. */
export const WORK = PAGE

/** `length` bytes of the memory, aligned to 64; what was handed out long ago is handed out again. */
export function bytes(length: number): Uint8Array {
  const room = Math.ceil((length + 64) / 64) * 64
  if (next + room > (PAGES - 1) * PAGE) next = 2 * PAGE
  const view = new Uint8Array(memory.buffer, next, length)
  next += room
  return view
}

export function float32(length: number): Float32Array {
  return new Float32Array(memory.buffer, bytes(4 * length).byteOffset, length)
}

export function float64(length: number): Float64Array {
  return new Float64Array(memory.buffer, bytes(8 * length).byteOffset, length)
}

export function int32(length: number): Int32Array {
  return new Int32Array(memory.buffer, bytes(4 * length).byteOffset, length)
}

/** The text in shared memory, and behind it something that could be taken for more of it. */
export function shared(text: string | Uint8Array): Uint8Array {
  const content = Buffer.from(text as string)
  const view = bytes(content.length)
  view.set(content)
  const behind = ['77777777', ']],.e8"}', '.5e+7,7]', 'e9]}]}"7'][turn++ % 4]
  new Uint8Array(memory.buffer, view.byteOffset + content.length, 64).set(Buffer.from(behind.repeat(8)))
  return view
}

export function scan(text: Uint8Array): JsonScan {
  return scanJson(kernels, text, WORK)
}
