/** What keys may compute in a minute: FLOPs of programs that have been admitted, as `/v1/plan` tells them. */
import type { FlopBudget } from '../../pipeline/decode.ts'
import { Problem } from '../../problem.ts'
import type { Counts, Used } from './counts.ts'

export interface BudgetState {
  limit: number
  remaining: number
  /** seconds until all of it is there again */
  reset: number
}

/** Of whom, by the id of an identity; undefined without a limit. */
export type LimitOf = (id: string) => number | undefined

export class FlopBudgets implements FlopBudget {
  readonly #counts: Counts
  readonly #limitOf: LimitOf

  constructor(counts: Counts, limitOf: LimitOf) {
    this.#counts = counts
    this.#limitOf = limitOf
  }

  spend(client = '', flops: number): void | Promise<void> {
    const limit = this.#limitOf(client)
    if (limit === undefined) return
    const check = (used: Used) => {
      if (!used.taken) throw exceeded(flops, stateOf(limit, used))
    }
    const used = this.#take(client, flops, limit)
    return used instanceof Promise ? used.then(check) : check(used)
  }

  async refusal(client = '', flops: number): Promise<Problem | undefined> {
    const state = await this.state(client)
    return state !== undefined && flops > state.remaining ? exceeded(flops, state) : undefined
  }

  async never(client: string, flops: number): Promise<Problem | undefined> {
    const limit = this.#limitOf(client)
    return limit === undefined || flops <= limit ? undefined : await this.refusal(client, flops)
  }

  async state(client: string): Promise<BudgetState | undefined> {
    const limit = this.#limitOf(client)
    return limit === undefined ? undefined : stateOf(limit, await this.#take(client, 0, limit))
  }

  #take(client: string, flops: number, limit: number): Used | Promise<Used> {
    return this.#counts.take(`flops:${client}`, flops, limit)
  }
}

function stateOf(limit: number, { used, endsMs }: Used): BudgetState {
  return { limit, remaining: Math.max(0, limit - used), reset: Math.ceil(endsMs / 1000) }
}

function exceeded(flops: number, state: BudgetState): Problem {
  const { limit, remaining } = state
  const left = flops > limit ? 'more than a whole minute’s' : `of which ${remaining} are left`
  const detail = `expected at most ${limit} floating-point operations a minute with this key, ${left}, got ${flops}`
  return limited(detail, state)
}

export function limited(detail: string, state: BudgetState): Problem {
  const headers = rateLimitHeaders(state)
  return new Problem('RATE_LIMITED', `${detail}; come back in ${state.reset} s`, {
    retryAfter: state.reset,
    headers,
  })
}

export function rateLimitHeaders({ limit, remaining, reset }: BudgetState): Record<string, number> {
  return { 'ratelimit-limit': limit, 'ratelimit-remaining': remaining, 'ratelimit-reset': reset }
}
