/** Who has sent a request, where keys or tokens say so. */

export interface Identity {
  /** unique among all who may come: what belongs to somebody belongs to this */
  readonly id: string
  /** for people and the log */
  readonly name: string
  readonly requestsPerMinute: number | undefined
  readonly flopsPerMinute: number | undefined
}

/** Finds out who has sent a request, by what `Authorization: Bearer` holds; undefined for what is not valid. */
export interface Authenticator {
  authenticate(token: string): Promise<Identity | undefined>
  /** What an identity may compute in a minute, by its id, also while it is not here: its jobs run when they run. */
  flopsPerMinute(id: string): number | undefined
}

declare module 'fastify' {
  interface FastifyRequest {
    /** who has sent it; undefined where `AUTH` is off, and on routes that are open to everybody */
    identity: Identity | undefined
  }
  interface FastifyContextConfig {
    /** needs no key, whatever `AUTH` says */
    public?: boolean
    /** a WebSocket whose handshake may bring a ticket in place of a key */
    ticket?: boolean
  }
}
