/** Places of one size in shared memory, for the words that threads agree by: wake words, task states, claim tables. */

import { TASK_STATE } from '../../workers/contract.ts'
import type { Arena } from './arena.ts'

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

export const TASK_STATE_BYTES = 4

/** How far a task is, as its worker says in shared memory, while no message of it has come. */
export class TaskState {
  readonly offset: number
  readonly #word: Int32Array

  constructor(memory: WebAssembly.Memory, offset: number) {
    this.offset = offset
    this.#word = new Int32Array(memory.buffer, offset, 1)
    Atomics.store(this.#word, 0, TASK_STATE.queued)
  }

  /** One of TASK_STATE. */
  get now(): number {
    return Atomics.load(this.#word, 0)
  }
}
