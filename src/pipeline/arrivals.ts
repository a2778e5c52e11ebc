/**
 * Bytes of bodies and messages that are on their way, counted as they come. Where they are too many, the client that has
 * most of them gives way with its largest, so that nobody can take the room of others.
 */
import { Problem } from '../problem.ts'

export class Arrivals {
  readonly limit: number
  readonly #clients = new Map<string, Client>()
  #total = 0

  constructor(limit: number) {
    this.limit = limit
  }

  /** `giveWay` is called with a 503 where others need the room: nothing more of it is to be taken then. */
  begin(client: string, giveWay: (problem: Problem) => void): Arrival {
    const of = this.#clients.get(client) ?? new Client(client)
    this.#clients.set(client, of)
    const arrival = new Arrival(this, of, giveWay)
    of.arrivals.add(arrival)
    return arrival
  }

  /** Throws where the arrival itself gives way. */
  resize(arrival: Arrival, bytes: number): void {
    this.#count(arrival, bytes)
    while (this.#total > this.limit) {
      const victim = this.#largest()
      const taken = victim.client.bytes
      this.end(victim)
      const detail = `expected at most ${this.limit} bytes of bodies on their way in all; this client had most, ${taken}`
      const problem = new Problem('BUSY', detail, { retryAfter: 1 })
      if (victim === arrival) throw problem
      victim.giveWay(problem)
    }
  }

  end(arrival: Arrival): void {
    const { client } = arrival
    if (!client.arrivals.delete(arrival)) return
    this.#count(arrival, 0)
    if (client.arrivals.size === 0) this.#clients.delete(client.name)
  }

  #count(arrival: Arrival, bytes: number): void {
    const more = bytes - arrival.bytes
    arrival.bytes = bytes
    arrival.client.bytes += more
    this.#total += more
  }

  /** Of the client that has most; of several that are as large the oldest. */
  #largest(): Arrival {
    let most: Client | undefined
    for (const client of this.#clients.values()) if (client.bytes > (most?.bytes ?? 0)) most = client
    let largest: Arrival | undefined
    for (const arrival of most?.arrivals ?? []) if (arrival.bytes > (largest?.bytes ?? 0)) largest = arrival
    return largest as Arrival
  }
}

class Client {
  readonly name: string
  /** in the order in which they began */
  readonly arrivals = new Set<Arrival>()
  bytes = 0

  constructor(name: string) {
    this.name = name
  }
}

/** One body or message on its way. */
export class Arrival implements Disposable {
  readonly client: Client
  readonly giveWay: (problem: Problem) => void
  bytes = 0
  readonly #all: Arrivals

  constructor(all: Arrivals, client: Client, giveWay: (problem: Problem) => void) {
    this.#all = all
    this.client = client
    this.giveWay = giveWay
  }

  /** Throws where it gives way itself. */
  resize(bytes: number): void {
    this.#all.resize(this, bytes)
  }

  [Symbol.dispose](): void {
    this.#all.end(this)
  }
}
