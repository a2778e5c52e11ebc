/** What stands in Redis, beside what BullMQ keeps there. */
import { createHash } from 'node:crypto'
import type { ProblemDocument } from '../job.ts'
import { PREFIX } from './link.ts'

export const QUEUE = 'jobs'
export const CHANNEL = `${PREFIX}:changed`

/** Said on the channel: something is new about a job; or it has ended early, and what runs of it is to stop. */
export interface Change {
  id: string
  stop?: boolean
}

/** How a job has ended before its time, and when. */
export interface EarlyEnd {
  state: 'cancelled' | 'failed'
  finished: number
  problem?: ProblemDocument
}

export const earlyEnd = (id: string) => `${PREFIX}:end:${id}`
/** when the job, or the first of its parts, was begun */
export const begunAt = (id: string) => `${PREFIX}:begun:${id}`
/** ids of jobs that have not ended */
export const UNFINISHED = `${PREFIX}:unfinished`
export const unfinishedOf = (owner: string) => `${PREFIX}:unfinished:${hashed(owner)}`
/** ids of those that run, with the times until which that is believed */
export const runningOf = (owner: string) => `${PREFIX}:running:${hashed(owner)}`
/** ids of all jobs and parts that run, likewise */
export const RUNNING = `${PREFIX}:running`
/** ids of jobs that have ended so, with the times when they did */
export const endedAs = (state: EarlyEnd['state'] | 'done') => `${PREFIX}:ended:${state}`
/** ids of jobs with the times at which what is kept of them goes */
export const EXPIRING = `${PREFIX}:expiring`
export const idempotency = (owner: string, key: string) => `${PREFIX}:key:${hashed(`${owner}\n${key}`)}`

function hashed(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
