/**
 * Bytes of messages that are not whole yet, which the protocol library keeps in this process: bounded over all
 * connections, so that clients who never finish a message cannot take the memory from those who do.
 */
import type { Socket } from 'node:net'

export interface Inbound {
  /** a message is whole */
  whole(): void
}

export class InboundBudget {
  readonly limit: number
  #total = 0

  constructor(limit: number) {
    this.limit = limit
  }

  /** Counts what comes over a connection until it ends; `tooMuch` is called when it goes over the limit. */
  watch(socket: Socket, tooMuch: () => void): Inbound {
    let bytes = 0
    let over = false
    const whole = () => {
      this.#total -= bytes
      bytes = 0
    }
    socket.on('data', (chunk: Buffer) => {
      if (over) return
      bytes += chunk.length
      this.#total += chunk.length
      if (this.#total <= this.limit) return
      // it is cut off: the others may go on
      over = true
      whole()
      tooMuch()
    })
    socket.once('close', whole)
    return { whole }
  }
}
