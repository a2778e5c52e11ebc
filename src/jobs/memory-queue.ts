/** The queue of one process: jobs by priority, keys in turn, nothing that outlives it. */
import { setTimeout as wait } from 'node:timers/promises'
import { Problem, problemOf } from '../problem.ts'
import { deadlineOf } from './deadline.ts'
import { ENDED, type Job, type JobState, type Order, type Stored } from './job.ts'
import { documentOf, isTransient, laterBy } from './outcome.ts'
import {
  type IdempotencyKey,
  MOST_ATTEMPTS,
  type Queue,
  type QueueLimits,
  RECORD_SECONDS,
  type Task,
  type Work,
} from './queue.ts'
import { keyReused, ofOneKey, tooMany } from './queue-problems.ts'

/** Jobs that are remembered when they have ended. */
const MOST_RECORDS = 10_000
const SWEEP_MS = 1000
const RETRY_MS = 200

interface Entry {
  job: Job
  stop: AbortController
  watchers: Set<() => void>
  idempotencyKey: string | undefined
  /** of parts that are done */
  results: Stored[]
  /** until it is tried again */
  pause: NodeJS.Timeout | undefined
}

export class MemoryQueue implements Queue {
  readonly available = true
  readonly #limits: QueueLimits
  readonly #work: Work
  readonly #entries = new Map<string, Entry>()
  readonly #waiting: Entry[] = []
  readonly #running = new Map<Entry, Promise<void>>()
  readonly #keys = new Map<string, { digest: string; entry: Promise<Entry> }>()
  readonly #sweeper: NodeJS.Timeout
  /** jobs that have neither ended nor begun to be stored elsewhere: by owner */
  readonly #unfinished = new Map<string, number>()
  #taken = 0
  #draining = false

  constructor(limits: QueueLimits, work: Work) {
    this.#limits = limits
    this.#work = work
    this.#sweeper = setInterval(() => this.#sweep(), SWEEP_MS).unref()
  }

  async add(order: Order, key: IdempotencyKey | undefined, store: () => Promise<void>): Promise<Job> {
    const name = key && `${order.owner}\n${key.key}`
    const known = name === undefined ? undefined : this.#keys.get(name)
    if (known !== undefined && key !== undefined) {
      if (known.digest !== key.digest) throw keyReused(known.digest, key.digest)
      return this.#seen(await known.entry)
    }
    this.#admit(order.owner)
    const adding = this.#store(order, name, store)
    if (name !== undefined && key !== undefined) {
      this.#keys.set(name, { digest: key.digest, entry: adding })
      adding.catch(() => this.#keys.delete(name))
    }
    return this.#seen(await adding)
  }

  async get(id: string): Promise<Job | undefined> {
    const entry = this.#entries.get(id)
    return entry && this.#seen(entry)
  }

  async cancel(id: string): Promise<Job | undefined> {
    const entry = this.#entries.get(id)
    if (entry === undefined) return undefined
    if (!ENDED.includes(entry.job.state)) {
      entry.stop.abort(new Problem('JOB_CANCELLED', 'the job was cancelled'))
      this.#end(entry, { state: 'cancelled' })
    }
    return this.#seen(entry)
  }

  watch(id: string, tell: () => void): () => void {
    const { watchers } = this.#entries.get(id) ?? {}
    watchers?.add(tell)
    return () => watchers?.delete(tell)
  }

  async counts(): Promise<Record<JobState, number>> {
    const counts = { queued: 0, running: 0, done: 0, failed: 0, cancelled: 0, expired: 0 }
    for (const { job } of this.#entries.values()) counts[job.state]++
    return counts
  }

  async waitSeconds(): Promise<number> {
    const [next] = this.#waiting
    return next === undefined ? 0 : (Date.now() - next.job.order.created) / 1000
  }

  /** What has not ended now would be lost with the process, and nobody could ask for it. */
  async drain(): Promise<void> {
    this.#draining = true
    const gone = new Problem('DRAINING', 'the server was shut down before the job had ended')
    for (const { job, stop } of this.#entries.values()) if (!ENDED.includes(job.state)) stop.abort(gone)
    await Promise.all(this.#running.values())
  }

  async close(): Promise<void> {
    clearInterval(this.#sweeper)
    await this.drain()
  }

  #admit(owner: string): void {
    const { JOBS_QUEUED } = this.#limits
    if (this.#taken >= JOBS_QUEUED) throw tooMany(JOBS_QUEUED)
    const own = this.#unfinished.get(owner) ?? 0
    if (own >= ofOneKey(JOBS_QUEUED)) throw tooMany(JOBS_QUEUED, owner)
    this.#count(owner, 1)
  }

  #count(owner: string, more: number): void {
    const own = (this.#unfinished.get(owner) ?? 0) + more
    if (own === 0) this.#unfinished.delete(owner)
    else this.#unfinished.set(owner, own)
    this.#taken += more
  }

  async #store(order: Order, name: string | undefined, store: () => Promise<void>): Promise<Entry> {
    try {
      await store()
    } catch (error) {
      this.#count(order.owner, -1)
      throw error
    }
    const job: Job = { order, state: 'queued', progress: { done: 0, total: totalOf(order) } }
    const entry: Entry = {
      job,
      stop: new AbortController(),
      watchers: new Set(),
      idempotencyKey: name,
      results: [],
      pause: undefined,
    }
    this.#entries.set(order.id, entry)
    this.#wait(entry)
    return entry
  }

  /** Behind all of its priority that came before it. */
  #wait(entry: Entry): void {
    const { priority, created } = entry.job.order
    const behind = this.#waiting.findIndex(
      ({ job: { order } }) =>
        order.priority > priority || (order.priority === priority && order.created > created),
    )
    this.#waiting.splice(behind < 0 ? this.#waiting.length : behind, 0, entry)
    this.#dispatch()
  }

  /** Others run in its place until it is tried again. */
  #postpone(entry: Entry, ms: number): void {
    if (entry.results.length === 0) {
      delete entry.job.started
      this.#change(entry, { state: 'queued' })
    }
    entry.pause = setTimeout(() => {
      entry.pause = undefined
      this.#wait(entry)
    }, ms).unref()
  }

  #dispatch(): void {
    while (!this.#draining && this.#running.size < this.#limits.JOBS_AT_ONCE) {
      const at = this.#waiting.findIndex(
        ({ job }) => this.#runningOf(job.order.owner) < this.#limits.JOBS_PER_KEY,
      )
      if (at < 0) return
      const [entry] = this.#waiting.splice(at, 1)
      const running = this.#run(entry).finally(() => {
        this.#running.delete(entry)
        this.#dispatch()
      })
      this.#running.set(entry, running)
    }
  }

  #runningOf(owner: string): number {
    let count = 0
    for (const { job } of this.#running.keys()) if (job.order.owner === owner) count++
    return count
  }

  async #run(entry: Entry): Promise<void> {
    const { job, stop } = entry
    this.#change(entry, { state: 'running', started: job.started ?? Date.now() })
    try {
      const result = await this.#attempts(entry)
      if (job.state !== 'running') return await this.#forget(entry)
      const finished = Date.now()
      const { done, total } = job.progress
      const progress = { done: Math.max(done, total, 1), total: Math.max(done, total, 1) }
      const expires = finished + this.#limits.JOB_RESULT_SECONDS * 1000
      this.#end(entry, { state: 'done', result, finished, expires, progress })
    } catch (error) {
      const cause = stop.signal.aborted ? stop.signal.reason : error
      const later = laterBy(cause)
      if (job.state === 'running' && later !== undefined) return this.#postpone(entry, later)
      const problem = documentOf(cause, job.order.id)
      if (job.state === 'running') this.#end(entry, { state: 'failed', problem })
      await this.#forget(entry)
    }
  }

  async #attempts(entry: Entry): Promise<Stored> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#attempt(entry)
      } catch (error) {
        if (attempt === MOST_ATTEMPTS || !isTransient(error) || entry.stop.signal.aborted)
          throw problemOf(error)
        await wait(RETRY_MS * attempt)
      }
    }
  }

  async #attempt(entry: Entry): Promise<Stored> {
    const { order } = entry.job
    if (order.parts === undefined) {
      return await this.#within(entry, task => this.#work.whole(order, task), true)
    }
    const { results } = entry
    const total = totalOf(order)
    while (results.length < order.parts.length) {
      const index = results.length
      results.push(await this.#within(entry, task => this.#work.part(order, index, task)))
      this.#change(entry, { progress: { done: results.length, total } })
    }
    return await this.#within(entry, task => this.#work.join(order, results, task))
  }

  async #within<T>(entry: Entry, run: (task: Task) => Promise<T>, told = false): Promise<T> {
    using deadline = deadlineOf(this.#limits.JOB_SECONDS, entry.stop.signal)
    const progress: Task['progress'] = progress => {
      if (told && entry.job.state === 'running') this.#change(entry, { progress })
    }
    return await run({ signal: deadline.signal, progress })
  }

  #end(entry: Entry, change: Partial<Job>): void {
    const at = this.#waiting.indexOf(entry)
    if (at >= 0) this.#waiting.splice(at, 1)
    clearTimeout(entry.pause)
    if (!this.#running.has(entry)) void this.#forget(entry)
    this.#count(entry.job.order.owner, -1)
    this.#change(entry, { finished: Date.now(), ...change })
  }

  /** What is kept of it goes; a store that does not answer keeps what nobody asks for any more. */
  async #forget({ job }: Entry): Promise<void> {
    await this.#work.forget(job.order.id).catch(() => {})
  }

  #change(entry: Entry, change: Partial<Job>): void {
    Object.assign(entry.job, change)
    for (const tell of entry.watchers) tell()
  }

  /** A copy, with what has expired until now. */
  #seen(entry: Entry): Job {
    const { job } = entry
    if (job.state === 'done' && Date.now() >= (job.expires ?? 0)) {
      this.#change(entry, { state: 'expired' })
      void this.#forget(entry)
    }
    return { ...job }
  }

  #sweep(): void {
    const old = Date.now() - (RECORD_SECONDS + this.#limits.JOB_RESULT_SECONDS) * 1000
    let over = this.#entries.size - this.#taken - MOST_RECORDS
    for (const [id, entry] of this.#entries) {
      const { state, finished = 0 } = this.#seen(entry)
      if (!ENDED.includes(state) || this.#running.has(entry)) continue
      if (finished > old && over <= 0) continue
      over--
      this.#entries.delete(id)
      if (entry.idempotencyKey !== undefined) this.#keys.delete(entry.idempotencyKey)
      if (state === 'done') void this.#forget(entry)
    }
  }
}

/** Of a job that is cut: its parts, and what joins them. */
function totalOf({ parts }: Order): number {
  return parts === undefined ? 0 : parts.length + 1
}
