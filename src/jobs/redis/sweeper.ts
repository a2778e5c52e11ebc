/** What is kept of jobs goes when its time is over; every server looks for it, and it may go twice. */
import type { Work } from '../queue.ts'
import { forgetCounted } from './counts.ts'
import type { RedisLink } from './link.ts'
import { EXPIRING, endedAs, UNFINISHED, unfinishedOf } from './names.ts'
import type { Records } from './records.ts'

const SWEEP_MS = 5000
/** Jobs that are looked at in one sweep. */
const AT_ONCE = 100

export interface SweeperContext {
  link: RedisLink
  records: Records
  work: Work
  recordSeconds: number
}

export class Sweeper {
  readonly #context: SweeperContext
  readonly #clock: NodeJS.Timeout
  #sweeping = false

  constructor(context: SweeperContext) {
    this.#context = context
    this.#clock = setInterval(() => {
      if (this.#sweeping || !context.link.available) return
      this.#sweeping = true
      this.#sweep()
        // the next sweep finds what this one did not
        .catch(() => {})
        .finally(() => {
          this.#sweeping = false
        })
    }, SWEEP_MS).unref()
  }

  close(): void {
    clearInterval(this.#clock)
  }

  async #sweep(): Promise<void> {
    const { link, work, records, recordSeconds } = this.#context
    const { redis } = link
    for (const id of await redis.zrangebyscore(EXPIRING, '-inf', Date.now(), 'LIMIT', 0, AT_ONCE)) {
      const job = await records.get(id)
      if (job?.state === 'queued' || job?.state === 'running') {
        await redis.zadd(EXPIRING, Date.now() + recordSeconds * 1000, id)
        continue
      }
      await work.forget(id)
      await redis.zrem(EXPIRING, id)
    }
    await forgetCounted(redis, recordSeconds)
    // a server that is lost at the end of a job may not have noted it
    for (const id of await redis.srandmember(UNFINISHED, AT_ONCE)) {
      const job = await records.get(id)
      if (job?.state === 'queued' || job?.state === 'running') continue
      const undo = redis.multi().srem(UNFINISHED, id)
      if (job !== undefined) {
        const state = job.state === 'expired' ? 'done' : job.state
        undo.zadd(endedAs(state), 'NX', job.finished ?? Date.now(), id)
        undo.srem(unfinishedOf(job.order.owner), id).zadd(EXPIRING, job.expires ?? 0, id)
      }
      // one that is being stored is not there yet
      if (job !== undefined || (await redis.zscore(EXPIRING, id)) === null) await undo.exec()
    }
  }
}
