/** Jobs as BullMQ knows them → jobs as clients see them. */
import type { Job as Entry, Queue } from 'bullmq'
import type { Job, JobState, Order, ProblemDocument, Progress, Stored } from '../job.ts'
import { documentOf } from '../outcome.ts'
import type { RedisLink } from './link.ts'
import { begunAt, type EarlyEnd, earlyEnd } from './names.ts'

/** Of a job: all of it; of one of its parts: whose it is, and which. */
export type Data = { order: Order } | { parent: string; index: number; owner: string }
export type Entries = Queue<Data, Stored>
export type JobEntry = Entry<Data, Stored>

/** The job that an entry of this id is, or is a part of. */
export function jobIdOf(entryId: string): string {
  return entryId.replace(/-part-\d+$/, '')
}

export function partId(parent: string, index: number): string {
  return `${parent}-part-${index}`
}

export class Records {
  readonly #entries: Entries
  readonly #link: RedisLink
  readonly #resultSeconds: number

  constructor(entries: Entries, link: RedisLink, resultSeconds: number) {
    this.#entries = entries
    this.#link = link
    this.#resultSeconds = resultSeconds
  }

  async order(id: string): Promise<Order | undefined> {
    const entry = await this.#entries.getJob(id)
    return entry && 'order' in entry.data ? entry.data.order : undefined
  }

  async earlyEnd(id: string): Promise<EarlyEnd | undefined> {
    const text = await this.#link.redis.get(earlyEnd(id))
    return text === null ? undefined : JSON.parse(text)
  }

  async get(id: string): Promise<Job | undefined> {
    // its state first: what goes with it is there then
    const state = await this.#entries.getJobState(id)
    const [entry, [end, begun]] = await Promise.all([
      this.#entries.getJob(id),
      this.#link.redis.mget(earlyEnd(id), begunAt(id)),
    ])
    if (entry === undefined || !('order' in entry.data)) return undefined
    const { order } = entry.data
    // not when BullMQ gave it to somebody: it may have waited for its turn there
    const started = begun === null ? undefined : Number(begun)
    const finished = entry.finishedOn
    const known = {
      order,
      progress: await this.#progress(entry, order, state),
      ...(started && { started }),
      ...(finished && { finished }),
    }
    if (end !== null) return { ...known, ...(JSON.parse(end) as EarlyEnd) }
    if (state === 'completed') {
      const expires = (finished ?? 0) + this.#resultSeconds * 1000
      const over: JobState = Date.now() < expires ? 'done' : 'expired'
      return { ...known, state: over, result: entry.returnvalue, expires }
    }
    if (state === 'failed') return { ...known, state: 'failed', problem: problemOf(entry) }
    const parts = order.parts === undefined ? 0 : known.progress.done
    return { ...known, state: started === undefined && parts === 0 ? 'queued' : 'running' }
  }

  async #progress(entry: JobEntry, { parts }: Order, state: string): Promise<Progress> {
    const told = typeof entry.progress === 'object' ? (entry.progress as Progress) : undefined
    if (parts === undefined) {
      const { done, total } = told ?? { done: 0, total: 0 }
      return state === 'completed' ? { done: Math.max(total, 1), total: Math.max(total, 1) } : { done, total }
    }
    const total = parts.length + 1
    if (state === 'completed') return { done: total, total }
    const { processed = 0 } = await entry.getDependenciesCount({ processed: true })
    return { done: processed, total }
  }
}

/** What ended it: the problem that was thrown, or what BullMQ says of it. */
export function problemOf({ failedReason, id }: Pick<JobEntry, 'failedReason' | 'id'>): ProblemDocument {
  try {
    return JSON.parse(failedReason)
  } catch {
    // its server was lost, again and again
    return { ...documentOf(undefined, id as string), detail: `the job was begun too often (${failedReason})` }
  }
}
