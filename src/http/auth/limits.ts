/** Budgets of keys: requests and runs a minute, FLOPs a minute, and streams at once. Keys without a budget have no such limit. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { Problem } from '../../problem.ts'
import type { Access } from './access.ts'
import { type Counts, WINDOW_MS } from './counts.ts'
import { limited, rateLimitHeaders } from './flop-budgets.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Counts what is no request of HTTP's as one; rejects with a 429. */
    countRequest: ((request: FastifyRequest) => Promise<void>) | undefined
  }
}

export const limits = fp(
  async (app: FastifyInstance, { access }: { access: Access | undefined }) => {
    app.decorate('countRequest', undefined)
    if (access === undefined) return
    const { budgets, counts } = access
    const { default: rateLimit } = await import('@fastify/rate-limit')
    const most = ({ identity }: FastifyRequest) => identity?.requestsPerMinute
    await app.register(rateLimit, {
      enableDraftSpec: true,
      timeWindow: WINDOW_MS,
      store: storeOf(counts),
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
    app.addHook('onSend', async (request, reply) => {
      const { identity } = request
      if (identity?.flopsPerMinute === undefined || most(request) !== undefined) return
      const state = await budgets.state(identity.id)
      if (state !== undefined) reply.headers(rateLimitHeaders(state))
    })
  },
  { name: 'limits', dependencies: ['auth'] },
)

/**
 * Where the plugin counts. Its own store for Redis has no answer while that is away: then it would let everything through, or
 * nothing.
 */
function storeOf(counts: Counts) {
  return class Store {
    incr(
      key: string,
      tell: (error: Error | null, counted?: { current: number; ttl: number }) => void,
      _windowMs: number,
      max: number,
    ): void {
      Promise.resolve(counts.take(`requests:${key}`, 1, max)).then(
        ({ taken, used, endsMs }) => tell(null, { current: taken ? used : max + 1, ttl: endsMs }),
        tell,
      )
    }

    child(): Store {
      return this
    }
  }
}

/** Why the next request of a key would be refused, once this one has been counted. */
export function usedUp({ identity }: FastifyRequest, reply: FastifyReply): Problem | undefined {
  const limit = identity?.requestsPerMinute
  if (limit === undefined || Number(reply.getHeader('ratelimit-remaining') ?? 1) > 0) return undefined
  return exceeded(limit, Number(reply.getHeader('ratelimit-reset')) * 1000)
}

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
