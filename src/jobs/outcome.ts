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
