/** Places of one size in shared memory, for the words that threads agree by: wake words, task states, claim tables. */
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
