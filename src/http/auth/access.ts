/** What the settings say of who may come, opened: who they are, and what they have used; with Redis, of all servers together. */
import type { FastifyBaseLogger } from 'fastify'
import type { Config } from '../../config.ts'
import { type Counts, LocalCounts } from './counts.ts'
import { FlopBudgets } from './flop-budgets.ts'
import type { Authenticator } from './identity.ts'
import { KeyRing } from './key-ring.ts'
import { LocalTickets, type Tickets } from './tickets.ts'

export interface Access {
  authenticator: Authenticator
  counts: Counts
  budgets: FlopBudgets
  tickets: Tickets
  close(): void
}

/** Undefined where everybody may come. Rejects where the settings name what cannot be read. */
export async function openAccess(config: Config, log: FastifyBaseLogger): Promise<Access | undefined> {
  const { AUTH, REDIS_URL: url } = config
  if (AUTH === 'off') return undefined
  const authenticator =
    AUTH === 'keys' ? await KeyRing.open(config.KEYS_FILE as string, log) : await openProvider(config)
  const local = { counts: new LocalCounts(), tickets: new LocalTickets(), close() {} }
  const { counts, tickets, close } =
    url === undefined ? local : (await import('./shared/index.ts')).share(url, local, log)
  const budgets = new FlopBudgets(counts, id => authenticator.flopsPerMinute(id))
  return { authenticator, counts, budgets, tickets, close }
}

async function openProvider(config: Config): Promise<Authenticator> {
  const { OidcAuthenticator } = await import('./oidc.ts')
  return new OidcAuthenticator({
    issuer: config.OIDC_ISSUER as string,
    audience: config.OIDC_AUDIENCE as string,
    jwksUrl: config.OIDC_JWKS_URL,
    requestsPerMinute: config.OIDC_REQUESTS_PER_MINUTE,
    flopsPerMinute: config.OIDC_FLOPS_PER_MINUTE,
  })
}
