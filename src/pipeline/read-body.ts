/**
 * A request's body, read into shared memory, where the workers find it. A large one that announces its length is copied
 * as it arrives; a small one, or one without a length, is collected first. What is on its way is bounded over all
 * requests, so that clients who never finish cannot take the memory from those who do.
 */
import type { IncomingMessage } from 'node:http'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Region } from '../engine/arena.ts'
import type { Engine } from '../engine/engine.ts'
import { Problem } from '../problem.ts'

/** Bodies up to this size come in a piece or two: not worth memory before they are here. */
const SMALL = 64 * 1024
/** Bytes moved at once, so that a large body does not hold the event loop. */
const SLICE = 4 * 1024 * 1024

export interface SharedBody {
  region: Region
  bytes: Uint8Array
}

export class BodyReader {
  readonly #compute: Engine
  readonly #limit: number
  /** bytes of all bodies that are on their way, as announced or as they have come */
  #arriving = 0

  constructor(compute: Engine, limit: number) {
    this.#compute = compute
    this.#limit = limit
  }

  /** Throws 413, 503, or CLIENT_CLOSED when the client leaves before the body is whole. */
  async read(message: IncomingMessage): Promise<SharedBody> {
    const announced = Number(message.headers['content-length'] ?? 0)
    if (announced > this.#limit) throw this.#tooLarge(announced)
    return announced > SMALL ? this.#copyAsItComes(message, announced) : this.#collect(message)
  }

  async #copyAsItComes(message: IncomingMessage, length: number): Promise<SharedBody> {
    this.#expect(length)
    try {
      const body = this.#room(length)
      let at = 0
      try {
        await eachChunk(message, chunk => {
          body.bytes.set(chunk, at)
          at += chunk.length
          freeNow(chunk)
        })
        return body
      } catch (error) {
        this.#compute.arena.free(body.region)
        throw error
      }
    } finally {
      this.#arriving -= length
    }
  }

  async #collect(message: IncomingMessage): Promise<SharedBody> {
    const chunks: Buffer[] = []
    let length = 0
    try {
      await eachChunk(message, chunk => {
        length += chunk.length
        if (length > this.#limit) throw this.#tooLarge(length)
        this.#expect(chunk.length)
        chunks.push(chunk)
      })
      const body = this.#room(length)
      let at = 0
      let moved = 0
      for (const chunk of chunks) {
        body.bytes.set(chunk, at)
        at += chunk.length
        if (at - moved < SLICE) continue
        moved = at
        await nextTurn()
      }
      return body
    } finally {
      this.#arriving -= length
    }
  }

  /** At most half of the memory is for bodies that are not whole yet. */
  #expect(bytes: number): void {
    this.#arriving += bytes
    if (this.#arriving <= this.#compute.arena.limit / 2) return
    throw this.#compute.busy('too many bodies are arriving')
  }

  #room(length: number): SharedBody {
    const region = this.#compute.allocate(length)
    return { region, bytes: new Uint8Array(this.#compute.arena.memory.buffer, region.offset, length) }
  }

  #tooLarge(length: number): Problem {
    return new Problem('BODY_TOO_LARGE', `expected at most ${this.#limit} bytes, got ${length} or more`)
  }
}

/**
 * Frees a chunk that is its whole buffer and has been copied. Left to the garbage collector, chunks pile up until it
 * stops the world: 20 ms for every 64 MB received, measured.
 */
function freeNow(chunk: Buffer): void {
  if (chunk.byteLength === chunk.buffer.byteLength && chunk.buffer instanceof ArrayBuffer)
    chunk.buffer.transfer(0)
}

/** By events: an async iterator costs a small request more than everything else about its body. */
function eachChunk(message: IncomingMessage, take: (chunk: Buffer) => void): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const left = () => reject(new Problem('CLIENT_CLOSED', 'the client left before its body was whole'))
  message.on('data', (chunk: Buffer) => {
    try {
      take(chunk)
    } catch (problem) {
      message.removeAllListeners('data')
      reject(problem)
    }
  })
  message.on('end', resolve)
  message.on('error', left)
  message.on('close', () => {
    if (!message.complete) left()
  })
  return promise
}
