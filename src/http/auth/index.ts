/**
 * Who may come: every route wants `Authorization: Bearer` unless it says that it is public. Where `AUTH` is off there is no
 * hook, and nobody is known.
 */
import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { Config } from '../../config.ts'
import { Problem } from '../../problem.ts'
import type { Authenticator } from './identity.ts'
import { KeyRing } from './key-ring.ts'

/** Rejects where the settings name what cannot be read. */
export async function openAuthenticator(
  { AUTH, KEYS_FILE }: Config,
  log: FastifyBaseLogger,
): Promise<Authenticator | undefined> {
  if (AUTH === 'keys') return KeyRing.open(KEYS_FILE as string, log)
  return undefined
}

const BEARER = /^Bearer +([\w.~+/-]+=*) *$/i

/** The same for whatever is wrong, so that it says nothing of what is there. */
export function unauthorized(): Problem {
  return new Problem('UNAUTHORIZED', 'expected `Authorization: Bearer` with a valid key', {
    headers: { 'www-authenticate': 'Bearer' },
  })
}

export const auth = fp(
  async (app: FastifyInstance, { authenticator }: { authenticator: Authenticator | undefined }) => {
    app.decorateRequest('identity', undefined)
    if (authenticator === undefined) return
    app.addHook('onRequest', async request => {
      if (request.routeOptions.config?.public) return
      const [, token] = BEARER.exec(request.headers.authorization ?? '') ?? []
      const identity = token && (await authenticator.authenticate(token))
      if (!identity) throw unauthorized()
      request.identity = identity
    })
  },
  { name: 'auth', dependencies: ['errors', 'observe', 'drain'] },
)

/** The routes that follow, and those of plugins that are registered there, are open to everybody. */
export function openToAll(app: FastifyInstance): void {
  app.addHook('onRoute', route => {
    route.config = { ...route.config, public: true }
  })
}
