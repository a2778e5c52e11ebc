/**
 * Which job comes next: among all that have something to do, the one that has had the least worker time.
 *
 * Every job starts at the current virtual time. That goes on with every small job that is charged, shared among the large
 * jobs and the stream of small ones, so that small jobs that keep coming overtake a large one, but not for ever.
 */
import type { Reply, ScanMessage } from '../../workers/main.ts'
import { Job } from './job.ts'

/** A large job is left for another large one when it has had this much more than the other. */
const SLICE_SECONDS = 0.003

/** One message of known cost that any worker can answer. */
export interface ScanTask {
  vstart: number
  readonly seconds: number
  readonly message: ScanMessage
  readonly reply: PromiseWithResolvers<Reply>
}

export type Runnable = Job | ScanTask

export class RunQueue {
  /** small jobs and scan tasks: first come, first served */
  readonly #small: Set<Runnable> = new Set()
  readonly #large: Set<Job> = new Set()
  #now = 0
  /** of all that are here, what of them has been done already included */
  #seconds = 0

  get size(): number {
    return this.#small.size + this.#large.size
  }

  /** Estimated seconds of worker time that are still to come. What a blocked job has still to do does not wait for workers. */
  get seconds(): number {
    const now = performance.now()
    let seconds = this.#seconds
    for (const job of this.#large)
      seconds -= job.blocked ? job.seconds : Math.min(job.seconds, job.serviceTime(now))
    return Math.max(0, seconds)
  }

  add(runnable: Runnable): void {
    runnable.vstart = this.now
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

  /** The time for which a job was blocked is not owed to it. */
  resume(job: Job): void {
    job.vstart = Math.max(job.vstart, this.now - job.serviceTime(performance.now()))
  }

  /** Virtual time: the virtual runtime of those that are run now. */
  get now(): number {
    const now = performance.now()
    let least = Number.POSITIVE_INFINITY
    for (const job of this.#large) if (!job.blocked) least = Math.min(least, vruntime(job, now))
    return Number.isFinite(least) ? Math.max(this.#now, least) : this.#now
  }

  /** The one with the least virtual runtime; of those that have the same, a small one. */
  first(): Runnable | undefined {
    const now = performance.now()
    let first = this.firstSmall()
    let least = first?.vstart ?? Number.POSITIVE_INFINITY
    for (const job of this.#large) {
      const at = vruntime(job, now)
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

  scanTasks(): ScanTask[] {
    return [...this.#small].filter((each): each is ScanTask => !(each instanceof Job))
  }

  /** A worker goes to it: virtual time goes on. */
  charge(runnable: Runnable): void {
    if (isLarge(runnable)) this.#now = Math.max(this.#now, vruntime(runnable, performance.now()))
    else this.#now = Math.max(this.#now, runnable.vstart) + runnable.seconds / (this.#large.size + 1)
  }

  /** Large jobs that workers are at. */
  running(): Job[] {
    return [...this.#large].filter(({ team }) => team > 0)
  }

  /** For each that waits, in the order in which they come next: the virtual runtime from which on a job makes room for it. */
  waiting(now: number): number[] {
    const large = [...this.#large].filter(job => job.team === 0 && job.open)
    const waiting = large.map(job => vruntime(job, now) + SLICE_SECONDS)
    const small = this.firstSmall()
    if (small !== undefined) waiting.push(small.vstart)
    return waiting.sort((a, b) => a - b)
  }
}

export function isLarge(runnable: Runnable): runnable is Job & { small: false } {
  return runnable instanceof Job && !runnable.small
}

/** The job with the least comes next. */
export function vruntime(job: Job, now: number): number {
  return job.vstart + job.serviceTime(now)
}
