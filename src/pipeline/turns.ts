/**
 * Long work of the main thread, on which everybody waits. One such work is under way at a time, a slice at a time: between two
 * slices the event loop goes on with what all others have sent. The rest waits in a queue that is bounded, and fair
 * between clients.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Problem } from '../problem.ts'

/** Time of a slice, beyond which only the work's next pause is waited for. */
const SLICE_MS = 2
/** Pauses that a slice goes over at most. */
const SLICE_PAUSES = 64
export const MOST_WAITING = 32

/** Who waits for the work, and until when. */
export interface Asked {
  /** where requests of one client are to be told from those of others */
  client: string | undefined
  /** the work is ended when it fires */
  signal: AbortSignal
  /** says that too many wait */
  busy(): Problem
}

interface Waiting {
  enter(): void
  refuse(): void
}

export class Turns {
  #taken = false
  #count = 0
  /** by client, who come in turn: the first comes next */
  readonly #clients = new Map<string, Waiting[]>()

  get waiting(): number {
    return this.#count
  }

  /** Rejects with the signal's reason, or where too many wait already. */
  async run<T>(work: Generator<void, T>, asked: Asked): Promise<T> {
    const { signal } = asked
    signal.throwIfAborted()
    if (this.#taken) await this.#wait(asked)
    this.#taken = true
    try {
      return await inSlices(work, signal)
    } finally {
      this.#taken = false
      this.#enterNext()
    }
  }

  #wait({ client = '', signal, busy }: Asked): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const waiting = { enter: resolve, refuse: () => reject(busy()) }
    const queue = this.#clients.get(client) ?? []
    this.#clients.set(client, queue)
    queue.push(waiting)
    this.#count++
    const leave = () => {
      this.#remove(client, waiting)
      reject(signal.reason)
    }
    signal.addEventListener('abort', leave)
    if (this.#count > MOST_WAITING) this.#refuseOne()
    return promise.finally(() => signal.removeEventListener('abort', leave))
  }

  #remove(client: string, waiting: Waiting): void {
    const queue = this.#clients.get(client)
    const at = queue?.indexOf(waiting) ?? -1
    if (queue === undefined || at < 0) return
    queue.splice(at, 1)
    this.#count--
    if (queue.length === 0) this.#clients.delete(client)
  }

  /** Who has the most waiting gives way with what came last. */
  #refuseOne(): void {
    let most: [string, Waiting[]] | undefined
    for (const each of this.#clients) if (most === undefined || each[1].length >= most[1].length) most = each
    if (most === undefined) return
    const [client, queue] = most
    const last = queue[queue.length - 1]
    this.#remove(client, last)
    last.refuse()
  }

  #enterNext(): void {
    const [first] = this.#clients
    if (first === undefined) return
    const [client, queue] = first
    const [next] = queue
    this.#clients.delete(client)
    this.#clients.set(client, queue)
    this.#remove(client, next)
    // taken from here on: nobody who comes meanwhile goes first
    this.#taken = true
    next.enter()
  }
}

async function inSlices<T>(work: Generator<void, T>, signal: AbortSignal): Promise<T> {
  for (;;) {
    await nextTurn()
    signal.throwIfAborted()
    const until = performance.now() + SLICE_MS
    for (let pauses = 0; pauses < SLICE_PAUSES && performance.now() < until; pauses++) {
      const { done, value } = work.next()
      if (done) return value
    }
  }
}
