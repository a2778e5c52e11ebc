/** Messages of one connection that are whole, handled one after the other. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { WebSocket } from 'ws'
import type { Arrival } from '../../pipeline/arrivals.ts'
import type { IncomingMessages } from './incoming-messages.ts'
import type { SendQueue } from './send-queue.ts'

/** Messages, and milliseconds, between which others get their turn: thousands of short ones may come in one packet. */
const TURN_MESSAGES = 64
const TURN_MS = 2

interface Whole {
  bytes: Buffer
  binary: boolean
  arrival: Arrival | undefined
}

export class Inbox {
  readonly #socket: WebSocket
  readonly #incoming: IncomingMessages
  readonly #answers: SendQueue
  readonly #handle: (bytes: Buffer, binary: boolean) => Promise<void>
  readonly #waiting: Whole[] = []
  #reading = false

  constructor(
    socket: WebSocket,
    incoming: IncomingMessages,
    answers: SendQueue,
    handle: (bytes: Buffer, binary: boolean) => Promise<void>,
  ) {
    this.#socket = socket
    this.#incoming = incoming
    this.#answers = answers
    this.#handle = handle
  }

  get reading(): boolean {
    return this.#reading
  }

  add(bytes: Buffer, binary: boolean): void {
    this.#waiting.push({ bytes, binary, arrival: this.#incoming.whole(bytes) })
    if (!this.#reading) void this.#read()
  }

  /** While a message is being read, or too many answers wait, nothing more is taken off the wire. */
  async #read(): Promise<void> {
    this.#reading = true
    this.#socket.pause()
    this.#incoming.pause()
    let [since, read] = [performance.now(), 0]
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      await this.#answers.room()
      if (++read > TURN_MESSAGES || performance.now() - since > TURN_MS) {
        await nextTurn()
        since = performance.now()
        read = 0
      }
      await this.#handle(next.bytes, next.binary)
      next.arrival?.[Symbol.dispose]()
    }
    this.#reading = false
    this.#incoming.resume()
    this.#socket.resume()
  }
}
