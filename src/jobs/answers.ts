/** What is answered about jobs, for the documents and as it is sent. */
import * as z from 'zod'
import { ProblemAnswer } from '../endpoints/answers.ts'
import type { Job } from './job.ts'

const instant = z.string().meta({ format: 'date-time' })

export const JobAnswer = z
  .strictObject({
    id: z.string(),
    endpoint: z.string(),
    state: z
      .enum(['queued', 'running', 'done', 'failed', 'cancelled', 'expired'])
      .describe('`expired`: it was done, and its result is no longer kept'),
    progress: z
      .strictObject({ done: z.int(), total: z.int() })
      .describe('steps of its computation, or its parts where it is cut; a `total` of 0 is not known yet'),
    priority: z.int(),
    parts: z.int().optional().describe('into how many parts it is cut, being too large for one request'),
    created: instant,
    started: instant.optional(),
    finished: instant.optional(),
    expires: instant.optional().describe('until when its result is kept'),
    result: z
      .string()
      .optional()
      .describe('where its result is: `/v1/jobs/{id}/result`, below the prefix of a proxy that sends one'),
    problem: ProblemAnswer.optional().describe('what ended it, where it has failed'),
  })
  .meta({ id: 'JobAnswer' })

/** `path`: of all jobs, as the client reaches them. */
export function jobAnswer(job: Job, path: string) {
  const { order, state, progress, problem, started, finished, expires } = job
  const { id, endpoint, priority, created, parts } = order
  return {
    id,
    endpoint,
    state,
    progress,
    priority,
    ...(parts && { parts: parts.length }),
    created: iso(created),
    ...(started && { started: iso(started) }),
    ...(finished && { finished: iso(finished) }),
    ...(expires && { expires: iso(expires) }),
    ...(state === 'done' && { result: `${path}/${id}/result` }),
    ...(problem && { problem }),
  }
}

function iso(milliseconds: number): string {
  return new Date(milliseconds).toISOString()
}
