/** Budgets of keys: requests and runs a minute, FLOPs a minute, and streams at once. Keys without a budget have no such limit. */
import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { Problem } from '../../problem.ts'
import { type FlopBudgets, limited, rateLimitHeaders, WINDOW_MS } from './flop-budgets.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Counts what is no request of HTTP's as one; rejects with a 429. */
    countRequest: ((request: FastifyRequest) => Promise<void>) | undefined
  }
}

export const limits = fp(
  async (app: FastifyInstance, { budgets }: { budgets: FlopBudgets | undefined }) => {
    app.decorate('countRequest', undefined)
    if (budgets === undefined) return
    const { default: rateLimit } = await import('@fastify/rate-limit')
    const most = ({ identity }: FastifyRequest) => identity?.requestsPerMinute
    await app.register(rateLimit, {
      enableDraftSpec: true,
      timeWindow: WINDOW_MS,
      keyGenerator: ({ identity }) => identity?.id ?? '',
      allowList: request => most(request) === undefined,
      max: request => most(request) ?? 0,
      errorResponseBuilder: (_request, { max, ttl }) => exceeded(max, ttl),
    })
    const count = app.createRateLimit()
    app.countRequest = async request => {
      const found = await count(request)
      if (!found.isAllowed && found.isExceeded) throw exceeded(found.max, found.ttl)
    }
    // behind the handler, where it has spent what it took
    app.addHook('onSend', (request, reply, _payload, done) => {
      const { identity } = request
      const state = identity && most(request) === undefined ? budgets.state(identity.id) : undefined
      if (state !== undefined) reply.headers(rateLimitHeaders(state))
      done()
    })
  },
  { name: 'limits', dependencies: ['auth'] },
)

function exceeded(limit: number, ttl: number): Problem {
  const reset = Math.ceil(ttl / 1000)
  return limited(`expected at most ${limit} requests a minute with this key, got more`, {
    limit,
    remaining: 0,
    reset,
  })
}

/** Throws a 429 where a client with a key has `most` streams open. */
export function checkStreams(
  { identity }: FastifyRequest,
  open: (client: string) => number,
  most: number,
): void {
  if (identity === undefined || open(identity.id) < most) return
  throw new Problem('TOO_MANY', `expected at most ${most} streams at once with one key, got one more`, {
    retryAfter: 1,
  })
}
