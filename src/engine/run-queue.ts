/**
 * Who is next: among all that have something to do, the one that has had the least of the workers' time.
 *
 * Everything that comes starts at the current virtual time. That goes on with every small job that is served, shared among
 * the large jobs and the stream of small ones, so that small jobs that keep coming overtake a large one, but not for ever.
 */
import type { Reply, ScanMessage } from '../../workers/main.ts'
import { Job } from './job.ts'

/** A large job is left for another large one when it has had so much more than that. */
const SLICE_SECONDS = 0.003

/** One message of known cost that any worker can answer. */
export interface Errand {
  start: number
  readonly seconds: number
  readonly message: ScanMessage
  readonly reply: PromiseWithResolvers<Reply>
}

export type Runnable = Job | Errand

export class Queue {
  /** small jobs and errands: first come, first served */
  readonly #small: Set<Runnable> = new Set()
  readonly #large: Set<Job> = new Set()
  #now = 0
  /** of all that are here, what of them has been done already included */
  #seconds = 0

  get size(): number {
    return this.#small.size + this.#large.size
  }

  /** Estimated seconds of workers' time that are still to come. What a held job has still to do does not wait for workers. */
  get seconds(): number {
    const now = performance.now()
    let seconds = this.#seconds
    for (const job of this.#large) seconds -= job.held ? job.seconds : Math.min(job.seconds, job.had(now))
    return Math.max(0, seconds)
  }

  add(runnable: Runnable): void {
    runnable.start = this.now
    this.#seconds += runnable.seconds
    if (isLarge(runnable)) this.#large.add(runnable)
    else this.#small.add(runnable)
  }

  /** Whether it was still there. */
  remove(runnable: Runnable): boolean {
    const there = this.#small.delete(runnable) || this.#large.delete(runnable as Job)
    if (there) this.#seconds -= runnable.seconds
    return there
  }

  /** The time that a job was held for is not owed to it. */
  resume(job: Job): void {
    job.start = Math.max(job.start, this.now - job.had(performance.now()))
  }

  /** Virtual time: where those are who are served now. */
  get now(): number {
    const now = performance.now()
    let least = Number.POSITIVE_INFINITY
    for (const job of this.#large) if (!job.held) least = Math.min(least, virtual(job, now))
    return Number.isFinite(least) ? Math.max(this.#now, least) : this.#now
  }

  /** Whoever has had the least; of those who have had the same, a small one. */
  first(): Runnable | undefined {
    const now = performance.now()
    let first = this.firstSmall()
    let least = first?.start ?? Number.POSITIVE_INFINITY
    for (const job of this.#large) {
      const at = virtual(job, now)
      if (at >= least || !job.open) continue
      first = job
      least = at
    }
    return first
  }

  firstSmall(): Runnable | undefined {
    for (const each of this.#small) if (!(each instanceof Job) || each.open) return each
    return undefined
  }

  /** A worker goes to it. */
  serve(runnable: Runnable): void {
    if (isLarge(runnable)) this.#now = Math.max(this.#now, virtual(runnable, performance.now()))
    else this.#now = Math.max(this.#now, runnable.start) + runnable.seconds / (this.#large.size + 1)
  }

  /** Large jobs that workers are at. */
  served(): Job[] {
    return [...this.#large].filter(({ crew }) => crew > 0)
  }

  /** What jobs must have had that are to make room for those who wait, in the order in which these come next. */
  waiting(now: number): number[] {
    const large = [...this.#large].filter(job => job.crew === 0 && job.open)
    const waiting = large.map(job => virtual(job, now) + SLICE_SECONDS)
    const small = this.firstSmall()
    if (small !== undefined) waiting.push(small.start)
    return waiting.sort((a, b) => a - b)
  }
}

export function isLarge(runnable: Runnable): runnable is Job & { small: false } {
  return runnable instanceof Job && !runnable.small
}

/** Jobs of which the one with the least comes first. */
export function virtual(job: Job, now: number): number {
  return job.start + job.had(now)
}
