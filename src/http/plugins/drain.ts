/** Which requests are taken: none once the server shuts down (what was accepted is answered), and not all where too many come at once. */
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { performance } from 'node:perf_hooks'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { Engine } from '../../engine/engine.ts'
import { waitingBodies } from '../../pipeline/reading.ts'
import { Problem } from '../../problem.ts'
import { isOperational } from './observe.ts'
import { laterTurn } from './pipelining.ts'

declare module 'fastify' {
  interface FastifyInstance {
    drain: Drain
  }
}

export class Drain {
  readonly #begun: (() => void)[] = []
  #leaving = false
  #active = false
  #open = 0
  #idle: (() => void) | undefined

  /** Readiness has gone: requests are to be sent elsewhere. */
  get leaving(): boolean {
    return this.#leaving
  }

  /** No new request is taken. */
  get active(): boolean {
    return this.#active
  }

  /** Requests are still served. */
  leave(): void {
    this.#leaving = true
  }

  /** `tell` is called when it begins. */
  onBegin(tell: () => void): void {
    this.#begun.push(tell)
  }

  /** Resolves when everything that was accepted has been answered. */
  async begin(): Promise<void> {
    this.#leaving = true
    this.#active = true
    for (const tell of this.#begun) tell()
    if (this.#open === 0) return
    await new Promise<void>(resolve => {
      this.#idle = resolve
    })
  }

  opened(): void {
    this.#open++
  }

  closed(): void {
    this.#open--
    if (this.#open === 0) this.#idle?.()
  }
}

/** Requests that had begun before it in its turn of the event loop, on average over some hundreds: more are many, */
const MANY = 50
const MANY_OF = 256
/** and how long ago the turn's first had, on average over more of them: then they cannot be answered soon. */
const LATE_MS = 100
const LATE_OF = 1024
/** Bodies that wait for their turn to be read: more are too many in any case. */
const MANY_BODIES = 128
/** While too many come: time of a turn after which it begins no other, */
const TURN_MS = 6
/** time at work since the turn before began, from which on a turn begins none, since what it reads may have waited for so long already, */
const LONG_MS = 25
/** but for one behind this number of them: a slow machine has no others, */
const MOST_CLOSED = 8
/** new connections of a turn behind which others still wait, nobody knows since when: what they bring first is refused, */
const MANY_NEW = 16
/** requests with larger bodies that are under way at once, */
const MOST_LARGER = 8
const LARGER = 64 * 1024
/** and the share of refused ones in a second below which all are taken again, or of the second that this thread had nothing to do. */
const FEW = 0.1
const IDLE = 0.5
const WINDOW_MS = 1000

/**
 * Whether requests come faster than they are answered: then a turn of the event loop, which begins all that have come meanwhile, has
 * ever more of them, and takes ever longer. A burst passes, and so do some hundreds of clients with small requests.
 */
export class Crowd {
  readonly #clock: () => number
  readonly #idle: () => number
  /** requests of this turn, when the first began, and whether the turn's end is waited for */
  #count = 0
  #ends = false
  #began = 0
  /** how many a request had before it in its turn, and how long it has waited since the turn began, on average */
  #before = 0
  #waited = 0
  #crowded = false
  /** since the window began */
  #windowBegan = 0
  #windowIdled = 0
  #seen = 0
  #refused = 0
  #larger = 0
  /** connections of this turn, and of the one before, whose requests this one begins */
  #connected = 0
  #connectedBefore = 0
  /** whether this turn begins none, and how many before it did not either */
  #closed = false
  #closedBefore = 0
  /** milliseconds of waiting for events, when the turn began */
  #idled = 0
  readonly #endTurn = () => {
    const now = this.#clock()
    this.#ends = false
    this.#count = 0
    this.#connectedBefore = this.#connected
    this.#connected = 0
    if (this.#crowded && now - this.#windowBegan > WINDOW_MS) this.#endWindow()
  }

  /** `idle`: milliseconds that the thread has waited for events. */
  constructor(clock = () => performance.now(), idle = () => performance.eventLoopUtilization().idle) {
    this.#clock = clock
    this.#idle = idle
  }

  get crowded(): boolean {
    return this.#crowded
  }

  /** A connection has come. */
  connect(): void {
    if (!this.#ends) this.#beginTurn()
    this.#connected++
  }

  /** Of a request that is alone, the end of the turn is not waited for: it counts as of the next one's turn. */
  #beginTurn(): void {
    const before = this.#began
    this.#began = this.#clock()
    this.#closed = this.#crowded && this.#isLate(this.#began - before)
    if (!this.#crowded && this.#count + this.#connected === 0) return
    this.#ends = true
    setImmediate(this.#endTurn)
  }

  /** Whether of the time since the turn before began so much was work. */
  #isLate(since: number): boolean {
    const before = this.#idled
    this.#idled = this.#idle()
    const late = since - (this.#idled - before) > LONG_MS && this.#closedBefore < MOST_CLOSED
    this.#closedBefore = late ? this.#closedBefore + 1 : 0
    return late
  }

  /** A request begins. Whether it is one too many; a larger one is where there is no room for its body, too. */
  begin(larger: boolean, { room = true, fresh = false, bodies = 0 } = {}): boolean {
    if (!this.#ends) this.#beginTurn()
    if (!this.#crowded) {
      this.#before += (this.#count - this.#before) / MANY_OF
      this.#waited += (this.#clock() - this.#began - this.#waited) / LATE_OF
      this.#count++
      const slow = this.#before >= MANY && this.#waited >= LATE_MS
      if (!slow && bodies < MANY_BODIES) return false
      this.#beginWindow()
    } else this.#count++
    this.#seen++
    const waited = this.#closed || (fresh && this.#connectedBefore > MANY_NEW)
    const late = waited || this.#clock() - this.#began > TURN_MS
    if (!late && !(larger && (this.#larger >= MOST_LARGER || !room))) return false
    this.#refused++
    return true
  }

  #beginWindow(): void {
    this.#crowded = true
    this.#windowBegan = this.#clock()
    this.#windowIdled = this.#idle()
    this.#seen = 0
    this.#refused = 0
  }

  #endWindow(): void {
    const idle = (this.#idle() - this.#windowIdled) / (this.#clock() - this.#windowBegan)
    if (this.#refused >= FEW * this.#seen && idle < IDLE) this.#beginWindow()
    else {
      this.#crowded = false
      this.#before = 0
      this.#waited = 0
    }
  }

  /** A request with a larger body is under way. */
  enter(): void {
    this.#larger++
  }

  leave(): void {
    this.#larger--
  }
}

type Serve = (message: IncomingMessage, response: ServerResponse) => void

/**
 * Has requests that are too many refused before the framework sees them; `refuse` says whether it has. Those with bodies of more than
 * `mostBytes` are refused in any case, for good, and not for now.
 */
export function refuseCrowd(
  server: Server,
  engine: Engine,
  mostBytes: number,
  refuse: (message: IncomingMessage, response: ServerResponse) => boolean,
): void {
  const crowd = new Crowd()
  const [serve] = server.listeners('request') as Serve[]
  const leave = () => crowd.leave()
  /** connections that have brought nothing while there was a crowd */
  const fresh = new WeakSet<Socket>()
  server.on('connection', socket => {
    crowd.connect()
    fresh.add(socket)
  })
  server.removeAllListeners('request').on('request', (message, response) => {
    // one that waits for the answers before it on its connection is begun in a later turn
    if (response.socket === null) return serve(message, response)
    const { 'content-length': length, 'transfer-encoding': chunked } = message.headers
    if (Number(length) > mostBytes) return serve(message, response)
    const larger = Number(length) > LARGER || chunked !== undefined
    const room = !larger || engine.arena.fits(2 * Number(length ?? 0))
    const isFresh = crowd.crowded && fresh.delete(message.socket)
    if (
      crowd.begin(larger, { room, fresh: isFresh, bodies: waitingBodies.length }) &&
      refuse(message, response)
    ) {
      // the turn may be long: those that were taken do not wait for its end
      engine.poll()
      return
    }
    if (larger) {
      crowd.enter()
      response.once('close', leave)
    }
    serve(message, response)
  })
}

export const drain = fp(
  async (app: FastifyInstance) => {
    const state = new Drain()
    app.decorate('drain', state)
    app.addHook('onRequest', async (request, reply) => {
      state.opened()
      reply.raw.once('close', () => state.closed())
      // only an answer that others of its connection come before has no socket yet
      if (reply.raw.socket === null) await laterTurn(request.raw.socket)
      if (!state.active || isOperational(request.url)) return
      throw new Problem('DRAINING', 'this server is shutting down; send the request again to another', {
        retryAfter: 1,
      })
    })
    app.addHook('onSend', (_request, reply, _payload, done) => {
      if (state.leaving) reply.header('connection', 'close')
      done()
    })
  },
  { name: 'drain', dependencies: ['errors'] },
)
