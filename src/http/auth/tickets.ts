/**
 * Tickets: a browser cannot send a key with a WebSocket's handshake, and a key in an address would stand in logs. So it asks for
 * a ticket with its key, and opens one stream with that, once and soon.
 */
import { createHash, randomBytes } from 'node:crypto'
import type { Identity } from './identity.ts'

export const TICKET_SECONDS = 30
/** Of one client; beyond that its oldest are good for nothing any more. */
export const MOST_TICKETS = 64

interface Issued {
  identity: Identity | undefined
  /** milliseconds of `performance.now` */
  until: number
}

export interface Tickets {
  issue(identity: Identity | undefined): string | Promise<string>
  /** Whose ticket it is; it is none any more then. */
  redeem(ticket: string): Identity | undefined | Promise<Identity | undefined>
}

/** Good at this server alone. */
export class LocalTickets implements Tickets {
  /** by their hashes: what is looked up says nothing of those that are there */
  readonly #issued = new Map<string, Issued>()
  /** hashes by client, the oldest first */
  readonly #clients = new Map<string, string[]>()

  issue(identity: Identity | undefined): string {
    this.#sweep()
    const ticket = newTicket()
    const hash = ticketHash(ticket)
    const client = identity?.id ?? ''
    const own = [...(this.#clients.get(client) ?? []).filter(each => this.#issued.has(each)), hash]
    for (const oldest of own.splice(0, own.length - MOST_TICKETS)) this.#issued.delete(oldest)
    this.#clients.set(client, own)
    this.#issued.set(hash, { identity, until: performance.now() + TICKET_SECONDS * 1000 })
    return ticket
  }

  redeem(ticket: string): Identity | undefined {
    const hash = ticketHash(ticket)
    const found = this.#issued.get(hash)
    this.#issued.delete(hash)
    return found !== undefined && performance.now() < found.until ? found.identity : undefined
  }

  /** They stand in the order in which they end. */
  #sweep(): void {
    const now = performance.now()
    for (const [hash, { until }] of this.#issued) {
      if (now < until) break
      this.#issued.delete(hash)
    }
    if (this.#issued.size === 0) this.#clients.clear()
  }
}

export function newTicket(): string {
  return randomBytes(32).toString('base64url')
}

/** What is kept of it. */
export function ticketHash(ticket: string): string {
  return createHash('sha256').update(ticket).digest('base64')
}
