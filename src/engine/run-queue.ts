/**
 * Which job comes next: among all that have something to do, the one that has had the least worker time.
 *
 * Every job starts at the current virtual time. That goes on with every small job that is charged, shared among the large
 * jobs and the stream of small ones, so that small jobs that keep coming overtake a large one, but not for ever.
 *
 * Jobs of one group (a client's, where clients have keys) share what a job has without one: each of n large ones counts
 * as having had n times its time, and small ones of several groups come in turn. Among the small ones of a group, short ones do
 * not wait for all the longer ones before them: the two kinds share their time, so that neither holds up the other for ever.
 */
import type { Reply, ScanMessage } from '../../workers/main.ts'
import { Job } from './job.ts'

/** A large job is left for another large one when it has had this much more than the other. */
const SLICE_SECONDS = 0.003
/** What takes no longer is short: about what it costs to send it to a worker. */
const SHORT_SECONDS = 0.0002
/** While both kinds wait, one may have had this much more than the other. */
const AHEAD_SECONDS = 0.02
/** Of a worker's time, what short jobs may have whosever turn it is: however many large ones there are, short ones wait for none. */
const OVERTAKING_SHARE = 0.5
const OVERTAKING_SECONDS = 0.05

/** One message of known cost that any worker can answer. */
export interface ScanTask {
  vstart: number
  readonly seconds: number
  readonly message: ScanMessage
  readonly reply: PromiseWithResolvers<Reply>
}

export type Runnable = Job | ScanTask

export class RunQueue {
  /** small jobs and scan tasks by group, whose turns come in this order */
  readonly #small: Map<string, SmallJobs> = new Map([['', new SmallJobs()]])
  #smallCount = 0
  readonly #large: Set<Job> = new Set()
  /** large jobs of groups, but for blocked ones */
  readonly #groups: Map<string, Set<Job>> = new Map()
  /** large jobs beside one of each group */
  #siblings = 0
  #now = 0
  /** seconds that short jobs may have before larger ones whose turn it is */
  #overtaking = OVERTAKING_SECONDS
  #refilled = performance.now()
  /** of all that are here, what of them has been done already included */
  #seconds = 0

  get size(): number {
    return this.#smallCount + this.#large.size
  }

  /** Estimated seconds of worker time that are still to come. What a blocked job has still to do does not wait for workers. */
  get seconds(): number {
    const now = performance.now()
    let seconds = this.#seconds
    for (const job of this.#large)
      seconds -= job.blocked ? job.seconds : Math.min(job.seconds, job.serviceTime(now))
    return Math.max(0, seconds)
  }

  /**
   * Seconds of worker time that come before the end of a program that takes so many: while it runs, no large one has more than it,
   * for those that have had the least come next.
   */
  secondsBefore(seconds: number): number {
    const now = performance.now()
    // what small ones take
    let before = this.#seconds
    for (const job of this.#large) {
      before -= job.seconds
      if (!job.blocked) before += Math.min(seconds, Math.max(0, job.seconds - job.serviceTime(now)))
    }
    return Math.max(0, before)
  }

  add(runnable: Runnable): void {
    runnable.vstart = this.now
    this.#seconds += runnable.seconds
    if (isLarge(runnable)) {
      this.#large.add(runnable)
      this.#join(runnable)
    } else {
      const group = groupOf(runnable)
      const small = this.#small.get(group) ?? new SmallJobs()
      if (small.size === 0) this.#small.set(group, small)
      small.add(runnable)
      this.#smallCount++
    }
  }

  /** Whether it was still there. */
  remove(runnable: Runnable): boolean {
    const there = this.#removeSmall(runnable) || this.#large.delete(runnable as Job)
    if (!there) return false
    this.#seconds -= runnable.seconds
    if (runnable instanceof Job) this.#leave(runnable)
    return true
  }

  #removeSmall(runnable: Runnable): boolean {
    const group = groupOf(runnable)
    const small = this.#small.get(group)
    if (!small?.delete(runnable)) return false
    this.#smallCount--
    if (small.size === 0 && group !== '') this.#small.delete(group)
    return true
  }

  /** A job waits at a barrier: those of its group share without it. */
  block(job: Job): void {
    this.#leave(job)
  }

  /** The time for which a job was blocked is not owed to it. */
  resume(job: Job): void {
    job.vstart = Math.max(job.vstart, this.now - job.serviceTime(performance.now()))
    if (this.#large.has(job)) this.#join(job)
  }

  #join(job: Job): void {
    if (job.group === undefined) return
    const group = this.#groups.get(job.group) ?? new Set()
    this.#groups.set(job.group, group)
    if (group.size > 0) this.#siblings++
    group.add(job)
    for (const each of group) each.shareAmong(group.size)
  }

  #leave(job: Job): void {
    const group = job.group === undefined ? undefined : this.#groups.get(job.group)
    if (!group?.delete(job)) return
    job.shareAmong(1)
    if (group.size > 0) this.#siblings--
    else this.#groups.delete(job.group as string)
    for (const each of group) each.shareAmong(group.size)
  }

  /** Virtual time: the virtual runtime of those that are run now. */
  get now(): number {
    const now = performance.now()
    let least = Number.POSITIVE_INFINITY
    for (const job of this.#large) if (!job.blocked) least = Math.min(least, vruntime(job, now))
    return Number.isFinite(least) ? Math.max(this.#now, least) : this.#now
  }

  /** A short one; else the one with the least virtual runtime; of those that have the same, a small one. */
  first(): Runnable | undefined {
    const now = performance.now()
    let first = this.firstSmall()
    if (first !== undefined && this.#overtakes(first, now)) return first
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
    for (const group of this.#small.values()) {
      const first = group.first()
      if (first !== undefined) return first
    }
    return undefined
  }

  scanTasks(): ScanTask[] {
    return [...this.#small.values()]
      .flatMap(group => group.all)
      .filter((each): each is ScanTask => !(each instanceof Job))
  }

  /** Whether it waits for no large one: short ones may have half a worker's time beyond turns. */
  #overtakes({ seconds }: Runnable, now: number): boolean {
    const refilled = this.#overtaking + (OVERTAKING_SHARE * (now - this.#refilled)) / 1000
    this.#overtaking = Math.min(OVERTAKING_SECONDS, refilled)
    this.#refilled = now
    return seconds <= SHORT_SECONDS && this.#overtaking > 0
  }

  /** A worker goes to it: virtual time goes on. */
  charge(runnable: Runnable): void {
    if (runnable.seconds <= SHORT_SECONDS) this.#overtaking -= runnable.seconds
    if (isLarge(runnable)) this.#now = Math.max(this.#now, vruntime(runnable, performance.now()))
    else {
      const shares = this.#large.size - this.#siblings + 1
      this.#now = Math.max(this.#now, runnable.vstart) + runnable.seconds / shares
      const group = groupOf(runnable)
      this.#small.get(group)?.charge(runnable)
      if (this.#small.size > 1) this.#goLast(group)
    }
  }

  #goLast(group: string): void {
    const small = this.#small.get(group)
    if (small === undefined || !this.#small.delete(group)) return
    this.#small.set(group, small)
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
    if (small !== undefined)
      waiting.push(this.#overtakes(small, now) ? Number.NEGATIVE_INFINITY : small.vstart)
    return waiting.sort((a, b) => a - b)
  }
}

/** Small ones of a group: short ones and longer ones, each first come, first served. */
class SmallJobs {
  readonly #short = new Set<Runnable>()
  readonly #longer = new Set<Runnable>()
  /** seconds that short ones have had beyond the longer ones, since both have been there */
  #ahead = 0

  get size(): number {
    return this.#short.size + this.#longer.size
  }

  get all(): Runnable[] {
    return [...this.#short, ...this.#longer]
  }

  add(runnable: Runnable): void {
    this.#kindOf(runnable).add(runnable)
  }

  delete(runnable: Runnable): boolean {
    return this.#kindOf(runnable).delete(runnable)
  }

  charge(runnable: Runnable): void {
    const short = this.#kindOf(runnable) === this.#short
    if (this.#short.size === 0 || this.#longer.size === 0) this.#ahead = 0
    else {
      const ahead = this.#ahead + (short ? runnable.seconds : -runnable.seconds)
      this.#ahead = Math.max(-AHEAD_SECONDS, Math.min(AHEAD_SECONDS, ahead))
    }
  }

  first(): Runnable | undefined {
    const shortFirst = this.#ahead < AHEAD_SECONDS
    return shortFirst
      ? (firstOpen(this.#short) ?? firstOpen(this.#longer))
      : (firstOpen(this.#longer) ?? firstOpen(this.#short))
  }

  #kindOf({ seconds }: Runnable): Set<Runnable> {
    return seconds <= SHORT_SECONDS ? this.#short : this.#longer
  }
}

function firstOpen(some: Set<Runnable>): Runnable | undefined {
  for (const each of some) if (!(each instanceof Job) || each.open) return each
  return undefined
}

export function isLarge(runnable: Runnable): runnable is Job & { small: false } {
  return runnable instanceof Job && !runnable.small
}

function groupOf(runnable: Runnable): string {
  return (runnable instanceof Job && runnable.group) || ''
}

/** The job with the least comes next. */
export function vruntime(job: Job, now: number): number {
  const service = job.serviceTime(now)
  return job.vstart + service + job.siblings * (service - job.sharedFrom)
}
