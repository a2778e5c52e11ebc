/**
 * Tickets: one int32 in shared memory for each task in flight, in which its worker notes how far it is.
 */
import { TICKET } from '../../workers/program.ts'
import type { Arena } from './arena.ts'

export class Ticket {
  readonly offset: number
  readonly #punched: Int32Array

  constructor(memory: WebAssembly.Memory, offset: number) {
    this.offset = offset
    this.#punched = new Int32Array(memory.buffer, offset, 1)
  }

  get state(): number {
    return Atomics.load(this.#punched, 0)
  }

  reset(): void {
    Atomics.store(this.#punched, 0, TICKET.waiting)
  }
}

export class Tickets {
  readonly #free: Ticket[]

  constructor(arena: Arena, count: number) {
    const region = arena.allocate(4 * count)
    if (region === undefined) throw new Error(`no room for ${count} tickets`)
    this.#free = Array.from(
      { length: count },
      (_, index) => new Ticket(arena.memory, region.offset + 4 * index),
    )
  }

  take(): Ticket {
    const ticket = this.#free.pop()
    if (ticket === undefined) throw new Error('more tasks in flight than tickets')
    ticket.reset()
    return ticket
  }

  giveBack(ticket: Ticket): void {
    this.#free.push(ticket)
  }
}
