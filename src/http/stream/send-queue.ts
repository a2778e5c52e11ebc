/**
 * What leaves over one WebSocket, a message at a time in the order in which they were given. A large message leaves in
 * fragments, straight from shared memory, and no faster than the client reads: nothing piles up in this process.
 */
import type { WebSocket } from 'ws'

/** Pieces smaller than this are copied together into one fragment. */
const SMALL = 64 * 1024
const TOGETHER = 256 * 1024
/** Most of one fragment. */
const FRAGMENT = 1024 * 1024
/** Messages that may wait before nothing more is read from the client. */
const MOST_WAITING = 64

export class SendQueue {
  readonly #socket: WebSocket
  readonly #stuckMs: number
  #tail: Promise<void> = Promise.resolve()
  #waiting = 0
  #between = true
  #room: PromiseWithResolvers<void> | undefined

  /** A client that takes no bytes for `stuckSeconds` is gone. */
  constructor(socket: WebSocket, stuckSeconds: number) {
    this.#socket = socket
    this.#stuckMs = stuckSeconds * 1000
  }

  get idle(): boolean {
    return this.#waiting === 0
  }

  /** Settles when everything given so far has left, or cannot. */
  get flushed(): Promise<void> {
    return this.#tail
  }

  /** Whether a message may be written outside the order: none is half on its way. */
  get betweenMessages(): boolean {
    return this.#between
  }

  /** Resolves when few messages are waiting. */
  room(): Promise<void> {
    if (this.#waiting < MOST_WAITING) return Promise.resolve()
    this.#room ??= Promise.withResolvers<void>()
    return this.#room.promise
  }

  /** Resolves when the message has left; rejects when the connection ended before. A function is asked for it in its turn. */
  text(message: object | (() => object)): Promise<void> {
    return this.#enqueue(() => {
      const told = typeof message === 'function' ? message() : message
      return this.#put(Buffer.from(JSON.stringify(told)), false, true)
    })
  }

  /**
   * Sends what `pieces` yields, asking for a piece when the one before it has left this process. If they fail half-way
   * the connection is beyond repair and is closed. `moved` is called whenever the client has taken some of it.
   */
  message(binary: boolean, pieces: AsyncIterable<Uint8Array>, moved: () => void): Promise<void> {
    return this.#enqueue(async () => {
      try {
        await this.#fragments(binary, pieces, moved)
      } catch (error) {
        if (!this.#between) this.#socket.terminate()
        throw error
      }
    })
  }

  #enqueue(send: () => Promise<void>): Promise<void> {
    this.#waiting++
    const turn = this.#tail.then(send).finally(() => {
      this.#waiting--
      if (this.#waiting >= MOST_WAITING) return
      this.#room?.resolve()
      this.#room = undefined
    })
    this.#tail = turn.catch(() => {})
    return turn
  }

  async #fragments(binary: boolean, pieces: AsyncIterable<Uint8Array>, moved: () => void): Promise<void> {
    let together: Uint8Array[] = []
    let bytes = 0
    for await (const piece of pieces) {
      if (piece.length < SMALL) {
        together.push(Buffer.from(piece))
        bytes += piece.length
        if (bytes < TOGETHER) continue
      }
      if (bytes > 0) await this.#put(Buffer.concat(together), binary, false)
      together = []
      bytes = 0
      for (let at = 0; at < piece.length && piece.length >= SMALL; at += FRAGMENT) {
        const length = Math.min(FRAGMENT, piece.length - at)
        await this.#put(Buffer.from(piece.buffer, piece.byteOffset + at, length), binary, false)
        moved()
      }
    }
    await this.#put(Buffer.concat(together), binary, true)
  }

  #put(data: Buffer, binary: boolean, fin: boolean): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const stuck = setTimeout(() => this.#socket.terminate(), this.#stuckMs)
    this.#between = false
    this.#socket.send(data, { binary, fin, compress: false }, error => {
      clearTimeout(stuck)
      if (error) reject(error)
      else resolve()
    })
    this.#between = fin
    return promise
  }
}
