/** A ticket: what passes between a task's worker and the scheduler while the task runs. */
import { TICKET, TICKET_WORDS } from '../../workers/program.ts'

export const TICKET_BYTES = 4 * TICKET_WORDS

export class Ticket {
  readonly offset: number
  readonly #words: Int32Array

  constructor(memory: WebAssembly.Memory, offset: number) {
    this.offset = offset
    this.#words = new Int32Array(memory.buffer, offset, TICKET_WORDS)
    Atomics.store(this.#words, 0, TICKET.waiting)
    Atomics.store(this.#words, 1, 0)
  }

  /** How far the worker is (TICKET). */
  get state(): number {
    return Atomics.load(this.#words, 0)
  }

  /** The worker is wanted elsewhere: it leaves when the portion that it is at is done. */
  callAway(): void {
    Atomics.store(this.#words, 1, 1)
  }
}
