/** What keys may compute in a minute: FLOPs of programs that have been admitted, as `/v1/plan` tells them. */
import { Problem } from '../../problem.ts'
import type { Identity } from './identity.ts'

export const WINDOW_MS = 60_000

interface Window {
  limit: number
  used: number
  /** milliseconds of `performance.now` */
  ends: number
}

export interface BudgetState {
  limit: number
  remaining: number
  /** seconds until all of it is there again */
  reset: number
}

export class FlopBudgets {
  readonly #windows = new Map<string, Window>()

  /** To be told of everybody who comes: budgets change with the keys. */
  know({ id, flopsPerMinute }: Identity): void {
    const window = this.#windows.get(id)
    if (flopsPerMinute === undefined) {
      if (window !== undefined) this.#windows.delete(id)
    } else if (window === undefined) this.#windows.set(id, { limit: flopsPerMinute, used: 0, ends: 0 })
    else window.limit = flopsPerMinute
  }

  /** Throws a 429 where the minute's budget does not hold it. */
  spend(id: string | undefined, flops: number): void {
    const window = this.#windows.get(id ?? '')
    if (window === undefined) return
    const { limit, remaining, reset } = stateOf(window)
    if (flops <= remaining) {
      window.used += flops
      return
    }
    const left = flops > limit ? 'more than a whole minute’s' : `of which ${remaining} are left`
    const detail = `expected at most ${limit} floating-point operations a minute with this key, ${left}, got ${flops}`
    throw limited(detail, { limit, remaining, reset })
  }

  state(id: string): BudgetState | undefined {
    const window = this.#windows.get(id)
    return window && stateOf(window)
  }
}

function stateOf(window: Window): BudgetState {
  const now = performance.now()
  if (now >= window.ends) {
    window.used = 0
    window.ends = now + WINDOW_MS
  }
  const { limit, used, ends } = window
  return { limit, remaining: Math.max(0, limit - used), reset: Math.ceil((ends - now) / 1000) }
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
