/**
 * A large body on its way into shared memory. Its region grows with what has come: in place where the addresses behind it are
 * free, as on a quiet server they are, else by moving. What has been announced takes nothing.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Region } from '../engine/arena.ts'
import type { Engine } from '../engine/engine.ts'
import type { Arrival } from './arrivals.ts'

/** Bytes moved at once, so that a large body does not hold the event loop. */
export const SLICE = 4 * 1024 * 1024

export class GrowingBody implements Disposable {
  readonly #engine: Engine
  readonly #arrival: Arrival
  readonly #most: number
  #region: Region | undefined
  /** bytes in the region */
  #placed = 0
  /** what has come, and is not in the region yet */
  #chunks: Buffer[] = []
  #length = 0
  #moving = false
  #disposed = false

  /** It will have `most` bytes at most. */
  constructor(engine: Engine, arrival: Arrival, most: number) {
    this.#engine = engine
    this.#arrival = arrival
    this.#most = most
  }

  /** Nothing more is to be given before the promise has settled. Throws or rejects where there is no room for it. */
  take(chunks: Buffer[]): Promise<void> | undefined {
    for (const chunk of chunks) {
      this.#chunks.push(chunk)
      this.#length += chunk.length
    }
    if (this.#length > (this.#region?.bytes ?? 0)) {
      const wanted = Math.min(this.#most, 2 * this.#length)
      this.#arrival.resize(wanted)
      const { arena } = this.#engine
      const longer = this.#region ? arena.extend(this.#region, wanted) : arena.allocate(wanted, true)
      if (longer === undefined) return this.#move(wanted)
      this.#region = longer
    }
    this.#place()
    return undefined
  }

  /** It is whole: its region is the caller's from now on. */
  end(): Region {
    const region = this.#engine.arena.shrink(this.#region as Region, this.#length)
    this.#region = undefined
    return region
  }

  [Symbol.dispose](): void {
    this.#disposed = true
    if (!this.#moving) this.#free()
  }

  async #move(wanted: number): Promise<void> {
    const { arena } = this.#engine
    const old = this.#region
    this.#moving = true
    try {
      const region = await this.#engine.room(wanted, true)
      this.#region = region
      const memory = new Uint8Array(arena.memory.buffer)
      for (let at = 0; old !== undefined && at < this.#placed && !this.#disposed; at += SLICE) {
        if (at > 0) await nextTurn()
        const end = Math.min(at + SLICE, this.#placed)
        memory.copyWithin(region.offset + at, old.offset + at, old.offset + end)
      }
      if (old !== undefined) arena.free(old)
    } finally {
      this.#moving = false
      if (this.#disposed) this.#free()
    }
    if (!this.#disposed) this.#place()
  }

  #place(): void {
    const { offset, bytes } = this.#region as Region
    const memory = new Uint8Array(this.#engine.arena.memory.buffer, offset, bytes)
    for (const chunk of this.#chunks) {
      memory.set(chunk, this.#placed)
      this.#placed += chunk.length
      freeNow(chunk)
    }
    this.#chunks = []
  }

  #free(): void {
    if (this.#region !== undefined) this.#engine.arena.free(this.#region)
    this.#region = undefined
  }
}

/**
 * Frees a chunk that is its whole buffer and has been copied. Left to the garbage collector, chunks pile up until it
 * stops the world: 20 ms for every 64 MB received, measured.
 */
export function freeNow(chunk: Buffer): void {
  if (chunk.byteLength === chunk.buffer.byteLength && chunk.buffer instanceof ArrayBuffer)
    chunk.buffer.transfer(0)
}
