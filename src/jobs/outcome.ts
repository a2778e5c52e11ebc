/** What ends a job without a result, as its record says it. */
import { Problem, problemOf } from '../problem.ts'
import type { ProblemDocument } from './job.ts'

export function documentOf(error: unknown, id: string): ProblemDocument {
  return problemOf(error).toJSON(id)
}

/** What another attempt may mend. */
export function isTransient(error: unknown): boolean {
  return error instanceof Problem && (error.code === 'WORKER_LOST' || error.code === 'STORE_UNAVAILABLE')
}

/** Most time between two attempts of what waits for its key's budget. */
const MOST_LATER_MS = 5000
/** Time between two attempts where there was no room. */
const LATER_MS = 500

/** Milliseconds after which what found no room, or had spent its key's budget, is tried again; undefined for whatever else ended it. */
export function laterBy(error: unknown): number | undefined {
  if (!(error instanceof Problem)) return undefined
  if (error.status === 429) return Math.min(1000 * (error.retryAfter ?? 1), MOST_LATER_MS)
  return error.code === 'BUSY' ? LATER_MS : undefined
}
