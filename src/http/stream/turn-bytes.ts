/** What the main thread reads of long messages in one turn of the event loop, of all connections together. */
import { setImmediate as nextTurn } from 'node:timers/promises'

/** The library copies and unmasks them, which takes about 2 ms. */
const MOST = 1024 * 1024

export class TurnBytes {
  #bytes = 0
  #next: Promise<void> | undefined

  /** What has been read is counted; the promise is there where no more is to be read, until the next turn. */
  take(bytes: number): Promise<void> | undefined {
    this.#bytes += bytes
    this.#next ??= nextTurn().then(() => {
      this.#bytes = 0
      this.#next = undefined
    })
    return this.#bytes < MOST ? undefined : this.#next
  }
}

/** One for all that this thread reads. */
export const TURN = new TurnBytes()
