/** Shutting down: readiness goes first, then new requests get a 503, and what was accepted is answered. */
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
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
