/** Where jobs wait for somebody to run them: in this process, or in Redis for many. */
import type { Job, JobState, Order, Progress, Stored } from './job.ts'

/**
 * What a queue has done of a job. Where there is no room for it just now, or its key has spent what it may in a minute, that is thrown
 * (`laterBy`), and the queue has it done later: meanwhile others run in its place.
 */
export interface Work {
  /** All of it. */
  whole(order: Order, task: Task): Promise<Stored>
  /** One of its parts. */
  part(order: Order, index: number, task: Task): Promise<Stored>
  /** The parts' results as one. */
  join(order: Order, parts: Stored[], task: Task): Promise<Stored>
  /** It has ended without a result, or that has expired: what is kept of it may go. */
  forget(id: string): Promise<void>
}

export interface Task {
  /** fires when it is cancelled, has taken too long, or this server gives it up */
  signal: AbortSignal
  progress(progress: Progress): void
}

/** A client's name for what it sends, and what was sent under it. */
export interface IdempotencyKey {
  key: string
  digest: string
}

export interface Queue {
  /** Whether it can be reached. */
  readonly available: boolean
  /**
   * Takes a job; with a key that has been used for the same bytes, that job. Throws a 409 where it was used for others, a 429
   * or 503 where there are too many. `store` is called once it has been decided that the job is new.
   */
  add(order: Order, key: IdempotencyKey | undefined, store: () => Promise<void>): Promise<Job>
  get(id: string): Promise<Job | undefined>
  /** The job as it stands then. */
  cancel(id: string): Promise<Job | undefined>
  /** `tell` is called when something may have changed about it, until what is returned is called. */
  watch(id: string, tell: () => void): () => void
  counts(): Promise<Record<JobState, number>>
  /** No other job is begun. Settles when none is running here. */
  drain(): Promise<void>
  close(): Promise<void>
}

export interface QueueLimits {
  JOB_SECONDS: number
  JOB_RESULT_SECONDS: number
  JOBS_AT_ONCE: number
  JOBS_PER_KEY: number
  JOBS_QUEUED: number
}

/** What is known of a job stays for this time after its result has expired. */
export const RECORD_SECONDS = 24 * 3600
/** Times that a job is begun: a worker may be lost under it. */
export const MOST_ATTEMPTS = 3
