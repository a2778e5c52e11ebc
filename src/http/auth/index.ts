/**
 * Who may come: every route wants `Authorization: Bearer` unless it says that it is public. Where `AUTH` is off there is no
 * hook, and nobody is known.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { Problem } from '../../problem.ts'
import type { Access } from './access.ts'
import type { Identity } from './identity.ts'
import { LocalTickets, type Tickets } from './tickets.ts'

declare module 'fastify' {
  interface FastifyInstance {
    tickets: Tickets
  }
}

const BEARER = /^Bearer +([\w.~+/-]+=*) *$/i

/** The same for whatever is wrong, so that it says nothing of what is there. */
export function unauthorized(): Problem {
  return new Problem('UNAUTHORIZED', 'expected `Authorization: Bearer` with a valid key', {
    headers: { 'www-authenticate': 'Bearer' },
  })
}

export const auth = fp(
  async (app: FastifyInstance, { access }: { access: Access | undefined }) => {
    app.decorateRequest('identity', undefined)
    app.decorate('tickets', access?.tickets ?? new LocalTickets())
    if (access === undefined) return
    const { authenticator, tickets } = access
    const identify = async (request: FastifyRequest): Promise<Identity | undefined> => {
      const { authorization } = request.headers
      if (authorization === undefined && request.ws && request.routeOptions.config?.ticket) {
        const { ticket } = request.query as { ticket?: unknown }
        return typeof ticket === 'string' ? tickets.redeem(ticket) : undefined
      }
      const [, token] = BEARER.exec(authorization ?? '') ?? []
      return token === undefined ? undefined : authenticator.authenticate(token)
    }
    app.addHook('onRequest', async request => {
      if (request.routeOptions.config?.public) return
      request.identity = await identify(request)
      if (request.identity === undefined) throw unauthorized()
    })
  },
  { name: 'auth', dependencies: ['websocket', 'errors', 'observe', 'drain'] },
)

/** The routes that follow, and those of plugins that are registered there, are open to everybody. */
export function openToAll(app: FastifyInstance): void {
  app.addHook('onRoute', route => {
    route.config = { ...route.config, public: true }
  })
}
