/** Why a queue does not take a job. */
import { Problem } from '../problem.ts'

/** Jobs that one key may have in a queue of `most`. */
export function ofOneKey(most: number): number {
  return Math.max(1, Math.floor(most / 2))
}

/** Too many of all, or of one owner. */
export function tooMany(most: number, owner?: string): Problem {
  const retry = { retryAfter: 5 }
  if (owner === undefined) {
    return new Problem('BUSY', `expected at most ${most} jobs that wait or run, got one more`, retry)
  }
  const detail = `expected at most ${ofOneKey(most)} jobs of one key that wait or run, got one more`
  return new Problem('TOO_MANY', detail, retry)
}

export function keyReused(known: string, got: string): Problem {
  const detail =
    `expected the body that this Idempotency-Key came with first (sha-256 ${known}), ` +
    `got another (sha-256 ${got})`
  return new Problem('IDEMPOTENCY_KEY_REUSED', detail, { members: { digests: { first: known, got } } })
}
