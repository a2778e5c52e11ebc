/**
 * The one shared `WebAssembly.Memory` in which every tensor lives from decode to encode, handed out in regions.
 *
 * Low addresses are reused first, and memory is grown only when nothing free is large enough. The memory never shrinks
 * (WebAssembly cannot), but it is bounded: `limit`.
 */
import { TASK_STATE } from '../../workers/contract.ts'
import { ALIGN, PAGE } from '../../workers/layout.ts'

/** Page 0 belongs to the kernels' statics. */
const START = PAGE

export interface Region {
  readonly offset: number
  readonly bytes: number
}

export class Arena {
  readonly memory: WebAssembly.Memory
  readonly limit: number
  /** The byte that fresh regions are filled with, so that a test sees what a kernel failed to write; 0xff makes NaN. */
  fill: number | undefined
  readonly #free = new FreeList(START)
  #used = 0

  constructor(limitBytes: number) {
    const maximum = Math.min(65536, Math.floor(limitBytes / PAGE) + 2)
    this.memory = new WebAssembly.Memory({ initial: Math.min(16, maximum), maximum, shared: true })
    this.limit = (maximum - 2) * PAGE
  }

  get usedBytes(): number {
    return this.#used
  }

  get committedBytes(): number {
    return this.memory.buffer.byteLength
  }

  /** Whether an allocation of `wanted` bytes would find room now. */
  fits(wanted: number): boolean {
    return this.#free.top + wanted <= START + this.limit || this.#free.fits(wanted)
  }

  /** undefined when there is no room now. */
  allocate(wanted: number): Region | undefined {
    const bytes = aligned(Math.max(1, wanted))
    const offset = this.#free.reuse(bytes) ?? this.#extend(bytes)
    if (offset === undefined) return undefined
    this.#used += bytes
    if (this.fill !== undefined) new Uint8Array(this.memory.buffer, offset, bytes).fill(this.fill)
    return { offset, bytes }
  }

  #extend(bytes: number): number | undefined {
    const end = this.#free.top + bytes
    if (end > START + this.limit) return undefined
    // kernels may read a few bytes past a buffer's end: the last page is never handed out
    const missing = end + PAGE - this.memory.buffer.byteLength
    if (missing > 0) {
      try {
        this.memory.grow(Math.ceil(missing / PAGE))
      } catch {
        return undefined // the system has no more to give: busy, not broken
      }
    }
    return this.#free.extend(bytes)
  }

  free({ offset, bytes }: Region): void {
    this.#used -= bytes
    this.#free.giveBack(offset, bytes)
  }
}

/** The next multiple of the arena's alignment. */
export function aligned(bytes: number): number {
  return Math.ceil(bytes / ALIGN) * ALIGN
}

/** Holes are told apart by the power of two at or below their bytes. */
const KINDS = 54

function kindOf(bytes: number): number {
  return Math.min(KINDS - 1, Math.floor(Math.log2(bytes)))
}

interface Hole {
  offset: number
  bytes: number
}

/**
 * A stretch of addresses, handed out in pieces: first fit over the holes, sorted by address, so that low addresses are
 * reused first, and what lies beyond `top` was never needed.
 */
export class FreeList {
  /** everything from here on is unused */
  top: number
  readonly #holes: Hole[] = []
  /** of each power of two: no hole below this address has as many bytes, so that a search may begin there */
  readonly #from: number[]

  constructor(start: number) {
    this.top = start
    this.#from = new Array(KINDS).fill(start)
  }

  /** Whether a hole is as large as this. */
  fits(bytes: number): boolean {
    return this.#holes.some(hole => hole.bytes >= bytes)
  }

  /** The place of `bytes` bytes in a hole; undefined where none is large enough. */
  reuse(bytes: number): number | undefined {
    const holes = this.#holes
    const kind = kindOf(bytes)
    let first = -1
    for (let at = this.#indexOf(this.#from[kind]); at < holes.length; at++) {
      const hole = holes[at]
      if (first < 0 && hole.bytes >= 2 ** kind) first = hole.offset
      if (hole.bytes < bytes) continue
      const { offset } = hole
      this.#from[kind] = first
      hole.offset += bytes
      hole.bytes -= bytes
      if (hole.bytes === 0) holes.splice(at, 1)
      return offset
    }
    this.#from[kind] = first < 0 ? this.top : first
    return undefined
  }

  /** The place of `bytes` bytes beyond everything handed out so far. */
  extend(bytes: number): number {
    const offset = this.top
    this.top += bytes
    return offset
  }

  /** Joined with the holes that it touches; what reaches `top` is no hole but unused again. */
  giveBack(offset: number, bytes: number): void {
    const holes = this.#holes
    let at = this.#indexOf(offset)
    const before = holes[at - 1]
    const behind = holes[at]
    let hole: Hole
    if (before !== undefined && before.offset + before.bytes === offset) {
      hole = before
      hole.bytes += bytes
      at--
    } else {
      hole = { offset, bytes }
      holes.splice(at, 0, hole)
    }
    if (behind !== undefined && hole.offset + hole.bytes === behind.offset) {
      hole.bytes += behind.bytes
      holes.splice(at + 1, 1)
    }
    if (hole.offset + hole.bytes === this.top) {
      this.top = hole.offset
      holes.splice(at, 1)
    }
    for (let kind = kindOf(hole.bytes); kind >= 0; kind--)
      if (this.#from[kind] > hole.offset) this.#from[kind] = hole.offset
  }

  /** The first hole at or behind this address. */
  #indexOf(offset: number): number {
    const holes = this.#holes
    let [low, high] = [0, holes.length]
    while (low < high) {
      const middle = (low + high) >>> 1
      if (holes[middle].offset < offset) low = middle + 1
      else high = middle
    }
    return low
  }
}

/** Places of one size in shared memory, for the words that threads agree by: wake words, task states, claim tables. */
export class WordPool {
  readonly #free: number[]

  constructor(arena: Arena, count: number, bytes: number) {
    const region = arena.allocate(bytes * count)
    if (region === undefined) throw new Error(`no room for ${count} places of ${bytes} bytes`)
    new Uint8Array(arena.memory.buffer, region.offset, region.bytes).fill(0)
    this.#free = Array.from({ length: count }, (_, index) => region.offset + bytes * index).reverse()
  }

  get empty(): boolean {
    return this.#free.length === 0
  }

  /** The byte offset of a place. */
  take(): number {
    const offset = this.#free.pop()
    if (offset === undefined) throw new Error('more places wanted than there are')
    return offset
  }

  giveBack(offset: number): void {
    this.#free.push(offset)
  }
}

/** Two words: the state, and how often the task's worker has polled. */
export const TASK_STATE_BYTES = 8

/** How far a task is, as its worker says in shared memory, while no message of it has come. */
export class TaskState {
  readonly offset: number
  readonly #words: Int32Array

  constructor(memory: WebAssembly.Memory, offset: number) {
    this.offset = offset
    this.#words = new Int32Array(memory.buffer, offset, 2)
    Atomics.store(this.#words, 0, TASK_STATE.queued)
  }

  /** One of TASK_STATE. */
  get now(): number {
    return Atomics.load(this.#words, 0)
  }

  /** Goes on while its worker polls; where it started says nothing. */
  get polls(): number {
    return Atomics.load(this.#words, 1)
  }
}
