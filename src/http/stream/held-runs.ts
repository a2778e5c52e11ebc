/**
 * Memory of runs that wait for their clients: for a credit, for a frame to be read, or kept for `fetch`. A connection has a
 * share of the tensor memory for it, and all have one together. What is beyond gives way: of the connection that is over its
 * share, or of the client that holds most, the run that has waited for the longest time.
 */
import type { Reclaimable } from '../../engine/admission.ts'
import { Problem } from '../../problem.ts'

/** Parts of the tensor memory. */
const SHARE = 1 / 4
const CONNECTION_SHARE = 1 / 8
/** A run beyond its share may wait as long as this while nothing moves, */
const STILL_MS = 5000
/** and where others find no memory, as long as this in all; */
const WANTED_MS = 1000
/** there one within its share, too, has to give way when nothing has moved for this time. */
const IDLE_MS = 10_000
/** Time in which the memory of a run that gives way is free, as a rule. */
const SETTLE_MS = 500
const CHECK_MS = 500
/** Runs that give way in one turn of the event loop. */
const MOST_AT_ONCE = 64

/** What the runs of one connection hold. */
export interface Holdings {
  readonly client: string
  bytes: number
}

/** What a run holds, and milliseconds for which its client had let it wait before. */
export interface HeldMemory {
  bytes: number
  idleMs: number
}

export class HeldRuns implements Reclaimable {
  readonly #most: number
  readonly #mostOfConnection: number
  readonly #held = new Set<HeldRun>()
  /** bytes by client */
  readonly #clients = new Map<string, number>()
  #total = 0
  #timer: NodeJS.Timeout | undefined

  constructor(memoryBytes: number) {
    this.#most = memoryBytes * SHARE
    this.#mostOfConnection = memoryBytes * CONNECTION_SHARE
  }

  /** Until it is disposed of, the run waits. `giveWay` is to end it. */
  hold(of: Holdings, memory: HeldMemory, giveWay: (problem: Problem) => void): HeldRun {
    const { bytes } = memory
    const held = new HeldRun(of, memory, giveWay, () => this.#remove(held))
    this.#held.add(held)
    this.#count(of, bytes)
    if (this.#total > this.#most || of.bytes > this.#mostOfConnection) this.#checkLater()
    return held
  }

  reclaim(): Promise<void> | undefined {
    const now = performance.now()
    const client = this.#clientWithMost()
    const beyond = this.#total > this.#most
    let oldest: HeldRun | undefined
    for (const held of this.#held) {
      if (held.of.client !== client || (!beyond && now - held.moved < IDLE_MS)) continue
      if (oldest === undefined || held.began < oldest.began) oldest = held
    }
    if (oldest === undefined) return undefined
    const wait = WANTED_MS - (now - oldest.began)
    if (wait > 0) return new Promise(resolve => setTimeout(resolve, wait))
    this.#giveWay(oldest)
    return Promise.race([oldest.gone, new Promise<void>(resolve => setTimeout(resolve, SETTLE_MS))])
  }

  #remove(held: HeldRun): void {
    if (this.#held.delete(held)) this.#count(held.of, -held.bytes)
  }

  #count(of: Holdings, bytes: number): void {
    of.bytes += bytes
    this.#total += bytes
    const ofClient = (this.#clients.get(of.client) ?? 0) + bytes
    if (ofClient === 0) this.#clients.delete(of.client)
    else this.#clients.set(of.client, ofClient)
  }

  #giveWay(held: HeldRun): void {
    this.#remove(held)
    const seconds = ((performance.now() - held.began) / 1000).toFixed(1)
    const detail =
      `expected runs that wait for their client to hold at most ${Math.floor(this.#mostOfConnection)} bytes on one ` +
      `connection and ${Math.floor(this.#most)} in all, and less where others need the memory; this one held ` +
      `${held.bytes} for ${seconds} s and gave way`
    held.giveWay(new Problem('CLIENT_IDLE', detail))
  }

  #checkLater(): void {
    this.#timer ??= setTimeout(() => this.#check(), CHECK_MS).unref()
  }

  #check(): void {
    this.#timer = undefined
    const still = performance.now() - STILL_MS
    const waiting = [...this.#held].filter(({ moved }) => moved <= still).sort((a, b) => a.began - b.began)
    for (let turn = 0; turn < MOST_AT_ONCE; turn++) {
      const beyond = this.#beyond(waiting)
      if (beyond === undefined) break
      this.#giveWay(beyond)
    }
    const over = this.#held.values().some(({ of }) => of.bytes > this.#mostOfConnection)
    if (over || this.#total > this.#most) this.#checkLater()
  }

  /** The first that is to give way. */
  #beyond(waiting: HeldRun[]): HeldRun | undefined {
    const held = waiting.filter(each => this.#held.has(each))
    const ofConnection = held.find(({ of }) => of.bytes > this.#mostOfConnection)
    if (ofConnection !== undefined || this.#total <= this.#most) return ofConnection
    const client = this.#clientWithMost()
    return held.find(({ of }) => of.client === client)
  }

  #clientWithMost(): string {
    let most = ''
    let bytes = 0
    for (const [client, sum] of this.#clients) {
      if (sum <= bytes) continue
      most = client
      bytes = sum
    }
    return most
  }
}

/** A run that waits. */
export class HeldRun implements Disposable {
  readonly of: Holdings
  readonly bytes: number
  readonly giveWay: (problem: Problem) => void
  /** as if all the waiting had been at once: giving credit now and then is no way to hold memory for long */
  readonly began: number
  /** when something last moved: bytes of a frame that is being read, a fetch */
  moved = performance.now()
  readonly #remove: () => void
  readonly #gone = Promise.withResolvers<void>()

  constructor(
    of: Holdings,
    { bytes, idleMs }: HeldMemory,
    giveWay: (problem: Problem) => void,
    remove: () => void,
  ) {
    this.of = of
    this.bytes = bytes
    this.began = performance.now() - idleMs
    this.giveWay = giveWay
    this.#remove = remove
  }

  /** Resolves when it waits no more: it goes on, or its memory is free. */
  get gone(): Promise<void> {
    return this.#gone.promise
  }

  touch(): void {
    this.moved = performance.now()
  }

  [Symbol.dispose](): void {
    this.#remove()
    this.#gone.resolve()
  }
}
