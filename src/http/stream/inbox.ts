/** Messages of one connection that are whole, handled one after the other. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Arrival } from '../../pipeline/arrivals.ts'
import type { IncomingMessages } from './incoming-messages.ts'
import type { Message } from './messages.ts'
import type { SendQueue } from './send-queue.ts'

/** Messages, and milliseconds, between which others get their turn: thousands of short ones may come in one packet. */
const TURN_MESSAGES = 64
const TURN_MS = 2

interface Whole {
  message: Message
  arrival: Arrival | undefined
}

export class Inbox {
  readonly #incoming: IncomingMessages
  readonly #answers: SendQueue
  readonly #handle: (message: Message) => Promise<void>
  readonly #waiting: Whole[] = []
  #reading = false

  constructor(incoming: IncomingMessages, answers: SendQueue, handle: (message: Message) => Promise<void>) {
    this.#incoming = incoming
    this.#answers = answers
    this.#handle = handle
  }

  get reading(): boolean {
    return this.#reading
  }

  add(message: Message): void {
    this.#waiting.push({ message, arrival: this.#incoming.whole(message.length) })
    if (!this.#reading) void this.#read()
  }

  /** While a message is being read, or too many answers wait, nothing more is taken off the wire. */
  async #read(): Promise<void> {
    this.#reading = true
    this.#incoming.pause()
    let [since, read] = [performance.now(), 0]
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      await this.#answers.room()
      if (++read > TURN_MESSAGES || performance.now() - since > TURN_MS) {
        await nextTurn()
        since = performance.now()
        read = 0
      }
      await this.#handle(next.message)
      next.arrival?.[Symbol.dispose]()
    }
    this.#reading = false
    this.#incoming.resume()
  }
}
