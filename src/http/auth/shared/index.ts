/** Counts and tickets of all servers that have the same Redis. While it is away, each has its own. */
import type { FastifyBaseLogger } from 'fastify'
import type { LocalCounts } from '../counts.ts'
import type { LocalTickets } from '../tickets.ts'
import { RedisAccess } from './redis-access.ts'
import { SharedCounts } from './shared-counts.ts'
import { SharedTickets } from './shared-tickets.ts'

/** `local`: what is used while there is no Redis. */
export function share(
  url: string,
  local: { counts: LocalCounts; tickets: LocalTickets },
  log: FastifyBaseLogger,
) {
  const redis = new RedisAccess(url, available => {
    if (available) log.info('keys: budgets and tickets are those of all servers')
    else log.warn('keys: Redis does not answer; budgets and tickets are those of this server')
  })
  return {
    counts: new SharedCounts(redis, local.counts),
    tickets: new SharedTickets(redis, local.tickets),
    close: () => redis.close(),
  }
}
