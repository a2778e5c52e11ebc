/** A ticket: how far a task's worker says that it is, while no message of it has come. */
import { TICKET } from '../../workers/program.ts'

export const TICKET_BYTES = 4

export class Ticket {
  readonly offset: number
  readonly #word: Int32Array

  constructor(memory: WebAssembly.Memory, offset: number) {
    this.offset = offset
    this.#word = new Int32Array(memory.buffer, offset, 1)
    Atomics.store(this.#word, 0, TICKET.waiting)
  }

  /** How far the worker is (TICKET). */
  get state(): number {
    return Atomics.load(this.#word, 0)
  }
}
