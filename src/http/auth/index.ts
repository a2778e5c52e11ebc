/**
 * Who may come: every route wants `Authorization: Bearer` unless it says that it is public. Where `AUTH` is off there is no
 * hook, and nobody is known.
 */
import type { FastifyBaseLogger, FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { Config } from '../../config.ts'
import { Problem } from '../../problem.ts'
import type { FlopBudgets } from './flop-budgets.ts'
import type { Authenticator, Identity } from './identity.ts'
import { KeyRing } from './key-ring.ts'
import { Tickets } from './tickets.ts'

declare module 'fastify' {
  interface FastifyInstance {
    tickets: Tickets
  }
}

/** Rejects where the settings name what cannot be read. */
export async function openAuthenticator(
  { AUTH, KEYS_FILE, OIDC_ISSUER, OIDC_AUDIENCE, OIDC_JWKS_URL: jwksUrl }: Config,
  log: FastifyBaseLogger,
): Promise<Authenticator | undefined> {
  if (AUTH === 'keys') return KeyRing.open(KEYS_FILE as string, log)
  if (AUTH === 'off') return undefined
  const { OidcAuthenticator } = await import('./oidc.ts')
  return new OidcAuthenticator({ issuer: OIDC_ISSUER as string, audience: OIDC_AUDIENCE as string, jwksUrl })
}

const BEARER = /^Bearer +([\w.~+/-]+=*) *$/i

/** The same for whatever is wrong, so that it says nothing of what is there. */
export function unauthorized(): Problem {
  return new Problem('UNAUTHORIZED', 'expected `Authorization: Bearer` with a valid key', {
    headers: { 'www-authenticate': 'Bearer' },
  })
}

interface AuthOptions {
  authenticator: Authenticator | undefined
  budgets: FlopBudgets | undefined
}

export const auth = fp(
  async (app: FastifyInstance, { authenticator, budgets }: AuthOptions) => {
    app.decorateRequest('identity', undefined)
    const tickets = new Tickets()
    app.decorate('tickets', tickets)
    const identify = async (request: FastifyRequest): Promise<Identity | undefined> => {
      const { authorization } = request.headers
      if (authorization === undefined && request.ws && request.routeOptions.config?.ticket) {
        const { ticket } = request.query as { ticket?: unknown }
        return typeof ticket === 'string' ? tickets.redeem(ticket) : undefined
      }
      const [, token] = BEARER.exec(authorization ?? '') ?? []
      return token === undefined ? undefined : authenticator?.authenticate(token)
    }
    if (authenticator === undefined) return
    app.addHook('onRequest', async request => {
      if (request.routeOptions.config?.public) return
      request.identity = await identify(request)
      if (request.identity === undefined) throw unauthorized()
      budgets?.know(request.identity)
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
