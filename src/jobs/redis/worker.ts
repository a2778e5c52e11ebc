/** Runs the jobs and parts that stand in Redis, as many at a time as this server is for. */
import { DelayedError, UnrecoverableError, WaitingError, Worker } from 'bullmq'
import { Problem } from '../../problem.ts'
import { deadlineOf } from '../deadline.ts'
import type { Order, ProblemDocument, Progress, Stored } from '../job.ts'
import { documentOf, isTransient, laterBy } from '../outcome.ts'
import type { QueueLimits, Task, Work } from '../queue.ts'
import { PREFIX, type RedisLink } from './link.ts'
import {
  CHANNEL,
  type Change,
  type EarlyEnd,
  EXPIRING,
  earlyEnd,
  endedAs,
  QUEUE,
  UNFINISHED,
  unfinishedOf,
} from './names.ts'
import { type Data, type JobEntry, partId, problemOf, type Records } from './records.ts'
import { Turns } from './turns.ts'

/** Times that a job may be found without its server: each of them costs a run, and none is its own fault. */
const MOST_STALLED = 20
/** A job that was ended while nothing could be heard of it is seen after this time. */
const LOOK_MS = 2000
/** Progress is told no more often. */
const PROGRESS_MS = 200

export interface WorkerContext {
  link: RedisLink
  records: Records
  work: Work
  limits: QueueLimits
  /** time that what is known of a job stays */
  recordSeconds: number
  /** seconds after which a job of a server that says nothing is run by another */
  lockSeconds: number
  log: (error: unknown, what: string) => void
}

/** This server gives it up: another is to run it. */
const HANDED_OVER = new Problem('DRAINING', 'the server is shutting down; another runs the job')

export class JobWorker {
  readonly #context: WorkerContext
  readonly #worker: Worker<Data, Stored>
  readonly #turns: Turns
  /** by the job's id: its own run, or those of its parts */
  readonly #running = new Map<JobEntry, AbortController>()
  readonly #looks: NodeJS.Timeout
  #leaving = false

  constructor(context: WorkerContext) {
    this.#context = context
    const { link, limits, lockSeconds, recordSeconds, log } = context
    this.#turns = new Turns(link.redis, limits.JOBS_PER_KEY, lockSeconds, recordSeconds)
    this.#worker = new Worker<Data, Stored>(QUEUE, (entry, token) => this.#process(entry, token as string), {
      connection: link.patient,
      prefix: PREFIX,
      concurrency: limits.JOBS_AT_ONCE,
      lockDuration: lockSeconds * 1000,
      stalledInterval: lockSeconds * 1000,
      maxStalledCount: MOST_STALLED,
    })
    this.#worker.on('error', error => log(error, 'queue'))
    this.#worker.on('completed', entry => void this.#ended(entry).catch(error => log(error, 'end of a job')))
    this.#worker.on('failed', entry => {
      if (entry?.finishedOn !== undefined) void this.#ended(entry).catch(error => log(error, 'end of a job'))
    })
    this.#looks = setInterval(() => void this.#look().catch(() => {}), LOOK_MS).unref()
  }

  /** A job has ended early: what runs of it here stops. */
  stop(id: string): void {
    for (const [entry, stop] of this.#running) {
      if (jobOf(entry) === id) stop.abort(new Problem('JOB_CANCELLED', 'the job was cancelled'))
    }
  }

  /** Takes nothing new. What has not ended after `graceMs` is handed over. */
  async drain(graceMs: number): Promise<void> {
    const late = setTimeout(() => this.#handOver(), graceMs)
    await this.#worker.pause().catch(() => {})
    clearTimeout(late)
  }

  async close(): Promise<void> {
    clearInterval(this.#looks)
    // it takes nothing new from here on, and waits for what is handed over
    const closed = this.#worker.close(!this.#context.link.available)
    this.#handOver()
    await closed
    this.#turns.close()
  }

  #handOver(): void {
    this.#leaving = true
    for (const stop of this.#running.values()) stop.abort(HANDED_OVER)
  }

  async #process(entry: JobEntry, token: string): Promise<Stored> {
    const { records, limits } = this.#context
    const id = jobOf(entry)
    if ((await records.earlyEnd(id)) !== undefined) throw new UnrecoverableError('it has ended already')
    const order = 'order' in entry.data ? entry.data.order : await records.order(id)
    if (order === undefined) throw new UnrecoverableError('the job of this part is gone')
    using turn = await this.#turns.take(order.owner, entry.id as string)
    if (turn === undefined) {
      await entry.moveToDelayed(Date.now() + Turns.WAIT_MS, token)
      throw new DelayedError()
    }
    const stop = new AbortController()
    this.#running.set(entry, stop)
    try {
      if (this.#leaving) stop.abort(HANDED_OVER)
      using deadline = deadlineOf(limits.JOB_SECONDS, stop.signal)
      deadline.signal.throwIfAborted()
      this.#tell(id)
      return await this.#run(entry, order, { signal: deadline.signal, progress: this.#progress(entry) })
    } catch (error) {
      const cause = stop.signal.aborted ? stop.signal.reason : error
      if (cause === HANDED_OVER) {
        await this.#withdraw(entry, order)
        await entry.moveToWait(token)
        throw new WaitingError()
      }
      const later = laterBy(cause)
      if (later !== undefined) {
        await this.#withdraw(entry, order)
        await entry.moveToDelayed(Date.now() + later, token)
        throw new DelayedError()
      }
      const text = JSON.stringify(documentOf(cause, id))
      throw isTransient(cause) ? new Error(text) : new UnrecoverableError(text)
    } finally {
      this.#running.delete(entry)
    }
  }

  /** It is begun anew some time: it is queued again, unless others of its parts are done or run. */
  async #withdraw(entry: JobEntry, order: Order): Promise<void> {
    const { progress } = (await this.#context.records.get(order.id).catch(() => undefined)) ?? {}
    if (order.parts !== undefined && progress?.done !== 0) return
    await this.#turns.withdraw(order, entry.id as string)
    this.#tell(order.id)
  }

  async #run(entry: JobEntry, order: Order, task: Task): Promise<Stored> {
    const { work } = this.#context
    if ('index' in entry.data) return await work.part(order, entry.data.index, task)
    if (order.parts === undefined) return await work.whole(order, task)
    const values = Object.entries(await entry.getChildrenValues<Stored>())
    const results = order.parts.map((_, index) => {
      const found = values.find(([key]) => key.endsWith(`:${partId(order.id, index)}`))
      if (found === undefined) throw new Error(`part ${index} of job ${order.id} has no result`)
      return found[1]
    })
    return await work.join(order, results, task)
  }

  #progress(entry: JobEntry): Task['progress'] {
    let told = 0
    return (progress: Progress) => {
      if (!('order' in entry.data) || performance.now() - told < PROGRESS_MS) return
      told = performance.now()
      entry
        .updateProgress({ ...progress })
        .then(() => this.#tell(jobOf(entry)))
        .catch(() => {})
    }
  }

  /** What is noted of a job that has not ended goes; of what is kept it is noted until when. */
  async #ended(entry: JobEntry): Promise<void> {
    const { link, limits, records, recordSeconds } = this.#context
    const id = jobOf(entry)
    const failed = entry.failedReason !== undefined
    if (!('order' in entry.data)) {
      if (failed) await this.#fail(id, problemOf(entry))
      this.#tell(id)
      return
    }
    const { owner } = entry.data.order
    const until = Date.now() + (failed ? 0 : limits.JOB_RESULT_SECONDS * 1000)
    const early = await records.earlyEnd(id)
    const state = early?.state ?? (failed ? 'failed' : 'done')
    await link.redis
      .multi()
      .zadd(endedAs(state), 'NX', entry.finishedOn ?? Date.now(), id)
      .srem(UNFINISHED, id)
      .srem(unfinishedOf(owner), id)
      .zadd(EXPIRING, until, id)
      .expire(unfinishedOf(owner), recordSeconds)
      .exec()
    this.#tell(id)
  }

  /** A part has failed, and with it the job: the other parts need not run. */
  async #fail(id: string, problem: ProblemDocument): Promise<void> {
    const { link, records, recordSeconds } = this.#context
    const end: EarlyEnd = { state: 'failed', finished: Date.now(), problem }
    const early = JSON.stringify(end)
    const first = await link.redis.set(earlyEnd(id), early, 'EX', recordSeconds, 'NX')
    if (first === null) return
    this.#tell(id, true)
    const order = await records.order(id)
    if (order === undefined) return
    await link.redis
      .multi()
      .zadd(endedAs('failed'), Date.now(), id)
      .srem(UNFINISHED, id)
      .srem(unfinishedOf(order.owner), id)
      .zadd(EXPIRING, Date.now(), id)
      .exec()
  }

  #tell(id: string, stop?: boolean): void {
    const change: Change = { id, ...(stop && { stop }) }
    this.#context.link.redis.publish(CHANNEL, JSON.stringify(change)).catch(() => {})
  }

  async #look(): Promise<void> {
    for (const entry of this.#running.keys()) {
      const id = jobOf(entry)
      if ((await this.#context.records.earlyEnd(id)) !== undefined) this.stop(id)
    }
  }
}

/** The job that an entry is, or is a part of. */
function jobOf({ data, id }: JobEntry): string {
  return 'parent' in data ? data.parent : (id as string)
}
