/** The queue of many servers: BullMQ on Redis. Redis holds names and numbers, never tensors. */
import { Queue as Entries, FlowProducer, type JobsOptions } from 'bullmq'
import type { Job, JobState, Order, Stored } from '../job.ts'
import { ENDED } from '../job.ts'
import {
  type IdempotencyKey,
  MOST_ATTEMPTS,
  type Queue,
  type QueueLimits,
  RECORD_SECONDS,
  type Work,
} from '../queue.ts'
import { keyReused, ofOneKey, tooMany } from '../queue-problems.ts'
import { countJobs } from './counts.ts'
import { PREFIX, RedisLink } from './link.ts'
import {
  CHANNEL,
  type Change,
  type EarlyEnd,
  EXPIRING,
  earlyEnd,
  endedAs,
  idempotency,
  QUEUE,
  UNFINISHED,
  unfinishedOf,
} from './names.ts'
import { type Data, partId, Records } from './records.ts'
import { Sweeper } from './sweeper.ts'
import { JobWorker } from './worker.ts'

/** What was taken under a key and is not there yet is waited for: another server may be storing it. */
const WAIT_MS = 200
const MOST_WAITS = 50
/** Attempts after a worker of a server was lost follow each other at these times, doubled each time. */
const BACKOFF_MS = 200

export interface RedisQueueOptions {
  url: string
  limits: QueueLimits
  lockSeconds: number
  /** time that what runs has to end when this server does */
  graceMs: number
  log: (error: unknown, what: string) => void
}

export class RedisQueue implements Queue {
  readonly #limits: QueueLimits
  readonly #graceMs: number
  readonly #recordSeconds: number
  readonly #link: RedisLink
  readonly #entries: Entries<Data, Stored>
  readonly #flows: FlowProducer
  readonly #records: Records
  readonly #worker: JobWorker
  readonly #sweeper: Sweeper
  readonly #watchers = new Map<string, Set<() => void>>()

  constructor({ url, limits, lockSeconds, graceMs, log }: RedisQueueOptions, work: Work) {
    this.#limits = limits
    this.#graceMs = graceMs
    this.#recordSeconds = Math.ceil(limits.JOB_RESULT_SECONDS) + RECORD_SECONDS
    this.#link = new RedisLink(url, available => log(undefined, available ? 'queue found' : 'queue lost'))
    const options = { connection: this.#link.patient, prefix: PREFIX }
    this.#entries = new Entries<Data, Stored>(QUEUE, options)
    this.#flows = new FlowProducer(options)
    this.#entries.on('error', error => log(error, 'queue'))
    this.#flows.on('error', error => log(error, 'queue'))
    this.#records = new Records(this.#entries, this.#link, limits.JOB_RESULT_SECONDS)
    const shared = { link: this.#link, records: this.#records, work, recordSeconds: this.#recordSeconds }
    this.#worker = new JobWorker({ ...shared, limits, lockSeconds, log })
    this.#sweeper = new Sweeper(shared)
    this.#link.subscribe(CHANNEL, text => this.#changed(JSON.parse(text)))
  }

  get available(): boolean {
    return this.#link.available
  }

  /** Settles with the first connection, or where there is none for now. */
  get opened(): Promise<void> {
    return this.#link.opened
  }

  async add(order: Order, key: IdempotencyKey | undefined, store: () => Promise<void>): Promise<Job> {
    const claimed = key && idempotency(order.owner, key.key)
    if (claimed !== undefined) {
      const known = await this.#claim(claimed, order, key as IdempotencyKey)
      if (known !== undefined) return known
    }
    try {
      await this.#link.ask(() => this.#admit(order))
      await store()
      await this.#link.ask(() => this.#enqueue(order))
    } catch (error) {
      const { redis } = this.#link
      const undo = redis.multi().srem(UNFINISHED, order.id).srem(unfinishedOf(order.owner), order.id)
      if (claimed !== undefined) undo.del(claimed)
      await undo.exec().catch(() => {})
      throw error
    }
    const job = await this.get(order.id)
    return job ?? { order, state: 'queued', progress: { done: 0, total: 0 } }
  }

  async get(id: string): Promise<Job | undefined> {
    return await this.#link.ask(() => this.#records.get(id))
  }

  async cancel(id: string): Promise<Job | undefined> {
    const job = await this.get(id)
    if (job === undefined || ENDED.includes(job.state)) return job
    await this.#link.ask(async () => {
      const { redis } = this.#link
      const end: EarlyEnd = { state: 'cancelled', finished: Date.now() }
      await redis.set(earlyEnd(id), JSON.stringify(end), 'EX', this.#recordSeconds, 'NX')
      await redis
        .multi()
        .srem(UNFINISHED, id)
        .srem(unfinishedOf(job.order.owner), id)
        .zrem(endedAs('done'), id)
        .zadd(endedAs('cancelled'), Date.now(), id)
        .zadd(EXPIRING, Date.now() + LEAVING_MS, id)
        .publish(CHANNEL, JSON.stringify({ id, stop: true } satisfies Change))
        .exec()
    })
    return await this.get(id)
  }

  watch(id: string, tell: () => void): () => void {
    const all = this.#watchers.get(id) ?? new Set()
    this.#watchers.set(id, all.add(tell))
    return () => {
      all.delete(tell)
      if (all.size === 0) this.#watchers.delete(id)
    }
  }

  async counts(): Promise<Record<JobState, number>> {
    return await this.#link.ask(() => countJobs(this.#link.redis, this.#limits.JOB_RESULT_SECONDS))
  }

  async waitSeconds(): Promise<number> {
    const entries = await this.#link.ask(() => this.#entries.getJobs(['waiting', 'prioritized'], 0, 0, true))
    // of each kind one
    const since = entries.map(({ timestamp }) => (Date.now() - timestamp) / 1000)
    return Math.max(0, ...since)
  }

  drain(): Promise<void> {
    return this.#worker.drain(this.#graceMs)
  }

  async close(): Promise<void> {
    this.#sweeper.close()
    await this.#worker.close()
    await Promise.allSettled([this.#entries.close(), this.#flows.close()])
    await this.#link.close()
  }

  #changed({ id, stop }: Change): void {
    if (stop) this.#worker.stop(id)
    for (const tell of this.#watchers.get(id) ?? []) tell()
  }

  /** The job that has been taken under the key; undefined where this is the first. */
  async #claim(claimed: string, order: Order, { digest }: IdempotencyKey): Promise<Job | undefined> {
    const { redis } = this.#link
    const own = JSON.stringify({ id: order.id, digest })
    for (let waits = 0; ; waits++) {
      const first = await this.#link.ask(() => redis.set(claimed, own, 'EX', this.#recordSeconds, 'NX'))
      if (first !== null) return undefined
      const known = await this.#link.ask(() => redis.get(claimed))
      if (known !== null) {
        const { id, digest: other } = JSON.parse(known) as { id: string; digest: string }
        if (other !== digest) throw keyReused(other, digest)
        const job = await this.get(id)
        if (job !== undefined) return job
        // its server was lost before the job was there
        if (waits >= MOST_WAITS) await this.#link.ask(() => redis.del(claimed))
      }
      await new Promise(resolve => setTimeout(resolve, WAIT_MS))
    }
  }

  async #admit({ id, owner }: Order): Promise<void> {
    const { redis } = this.#link
    const { JOBS_QUEUED } = this.#limits
    const [all, own] = await Promise.all([redis.scard(UNFINISHED), redis.scard(unfinishedOf(owner))])
    if (all >= JOBS_QUEUED) throw tooMany(JOBS_QUEUED)
    if (own >= ofOneKey(JOBS_QUEUED)) throw tooMany(JOBS_QUEUED, owner)
    // what is stored and never queued goes with the rest
    const added = await redis
      .multi()
      .sadd(UNFINISHED, id)
      .sadd(unfinishedOf(owner), id)
      .expire(unfinishedOf(owner), this.#recordSeconds)
      .zadd(EXPIRING, Date.now() + this.#recordSeconds * 1000, id)
      .exec()
    const [refused] = added?.find(([error]) => error !== null) ?? []
    if (refused) throw refused
  }

  async #enqueue(order: Order): Promise<void> {
    const { id, owner, priority, parts } = order
    const age = { age: this.#recordSeconds }
    const options: JobsOptions = {
      attempts: MOST_ATTEMPTS,
      backoff: { type: 'exponential', delay: BACKOFF_MS },
      removeOnComplete: age,
      removeOnFail: age,
      ...(priority > 0 && { priority }),
    }
    const data = { order }
    if (parts === undefined) {
      await this.#entries.add('job', data, { ...options, jobId: id })
      return
    }
    await this.#flows.add({
      name: 'job',
      queueName: QUEUE,
      data,
      opts: { ...options, jobId: id },
      children: parts.map((_, index) => ({
        name: 'part',
        queueName: QUEUE,
        data: { parent: id, index, owner },
        opts: { ...options, jobId: partId(id, index), failParentOnFailure: true },
      })),
    })
  }
}

/** What runs of a cancelled job may still read its input for this time. */
const LEAVING_MS = 5000
