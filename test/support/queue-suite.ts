/** What every queue of jobs must do, whatever holds it: the work is made up, jobs are names. */
import { randomUUID } from 'node:crypto'
import { setTimeout as wait } from 'node:timers/promises'
import { describe, expect, it, onTestFinished } from 'vitest'
import { ENDED, type Job, type Order, type Stored } from '../../src/jobs/job.ts'
import type { Queue, QueueLimits, Task, Work } from '../../src/jobs/queue.ts'
import { Problem } from '../../src/problem.ts'

const LIMITS: QueueLimits = {
  JOB_SECONDS: 60,
  JOB_RESULT_SECONDS: 60,
  JOBS_AT_ONCE: 1,
  JOBS_PER_KEY: 4,
  JOBS_QUEUED: 100,
}

export function orderOf(more: Partial<Order> = {}): Order {
  const id = randomUUID()
  return {
    id,
    endpoint: '/v1/attention',
    input: { name: `${id}/0`, bytes: 1, digest: '0', format: 'json' },
    style: { encoding: 'nested', dtype: 'float32' },
    owner: 'somebody',
    priority: 0,
    created: Date.now(),
    ...more,
  }
}

function resultOf(id: string): Stored {
  return { name: `${id}/1`, bytes: 1, digest: '1' }
}

/** Runs that the test ends one by one. */
export class HeldWork implements Work {
  readonly begun: string[] = []
  readonly forgotten: string[] = []
  readonly #held = new Map<string, PromiseWithResolvers<Stored>>()

  whole({ id }: Order, task: Task): Promise<Stored> {
    return this.#hold(id, task)
  }

  part({ id }: Order, index: number, task: Task): Promise<Stored> {
    return this.#hold(`${id} ${index}`, task)
  }

  async join({ id }: Order, parts: Stored[]): Promise<Stored> {
    return { ...resultOf(id), name: parts.map(({ name }) => name).join() }
  }

  async forget(id: string): Promise<void> {
    this.forgotten.push(id)
  }

  async end(name: string, error?: Error): Promise<void> {
    await expect.poll(() => this.#held.has(name), POLL).toBe(true)
    const held = this.#held.get(name)
    this.#held.delete(name)
    if (error === undefined) held?.resolve(resultOf(name))
    else held?.reject(error)
  }

  #hold(name: string, { signal, progress }: Task): Promise<Stored> {
    this.begun.push(name)
    progress({ done: 1, total: 3 })
    const held = Promise.withResolvers<Stored>()
    this.#held.set(name, held)
    signal.addEventListener('abort', () => held.reject(signal.reason))
    return held.promise
  }
}

/** What waits for its turn, or for another attempt, asks again now and then. */
const POLL = { timeout: 20_000, interval: 10 }

const NONE = { queued: 0, running: 0, done: 0, failed: 0, cancelled: 0, expired: 0 }

const nothing = async () => {}

/** `open`: a queue of its own for a test, closed by it. */
export function describeQueue(name: string, open: (limits: QueueLimits, work: Work) => Promise<Queue>): void {
  describe(name, () => {
    async function start(limits: Partial<QueueLimits> = {}) {
      const work = new HeldWork()
      const queue = await open({ ...LIMITS, ...limits }, work)
      onTestFinished(() => queue.close())
      const add = async (more: Partial<Order> = {}) => {
        const { order } = await queue.add(orderOf(more), undefined, nothing)
        return order.id
      }
      const state = async (id: string) => (await queue.get(id))?.state
      const becomes = (id: string, wanted: string) => expect.poll(() => state(id), POLL).toBe(wanted)
      const ended = async (id: string): Promise<Job> => {
        for (;;) {
          const job = (await queue.get(id)) as Job
          if (ENDED.includes(job.state)) return job
          await wait(10)
        }
      }
      return { work, queue, add, state, becomes, ended }
    }

    it('takes jobs in their order, smaller priorities first, and says how far they are', async () => {
      const { work, queue, add, state, becomes, ended } = await start()
      const first = await add()
      await becomes(first, 'running')
      await expect.poll(async () => (await queue.get(first))?.progress, POLL).toEqual({ done: 1, total: 3 })
      const late = await add({ priority: 5 })
      const [second, third] = [await add({ priority: 2 }), await add({ priority: 2 })]
      expect(await state(late)).toBe('queued')
      await expect.poll(() => queue.waitSeconds(), POLL).toBeGreaterThan(0.02)
      for (const id of [first, second, third, late]) {
        await work.end(id)
        expect(await ended(id)).toMatchObject({ state: 'done', result: resultOf(id) })
      }
      expect(work.begun).toEqual([first, second, third, late])
      expect(await queue.waitSeconds()).toBe(0)
      const { progress, expires, finished } = (await queue.get(late)) as Job
      expect(progress.done).toBe(progress.total)
      expect(expires).toBe((finished as number) + 60_000)
      expect(await queue.get('nobody')).toBeUndefined()
    })

    it('stores what is new before anybody runs it, and forgets it where it cannot be stored', async () => {
      const { queue, work } = await start()
      const order = orderOf()
      await expect(
        queue.add(order, { key: 'k', digest: 'a' }, async () => {
          throw new Problem('STORE_UNAVAILABLE', 'full')
        }),
      ).rejects.toThrow('full')
      expect(await queue.get(order.id)).toBeUndefined()
      let stored = false
      const again = await queue.add(order, { key: 'k', digest: 'b' }, async () => {
        expect(work.begun).toEqual([])
        stored = true
      })
      expect(stored).toBe(true)
      expect(again.order.id).toBe(order.id)
    })

    it('gives the same job under one key, for one owner; other bytes are a 409', async () => {
      const { queue } = await start()
      const key = { key: 'k', digest: 'a'.repeat(64) }
      const [one, two] = await Promise.all([
        queue.add(orderOf(), key, () => wait(50)),
        queue.add(orderOf(), key, () => wait(50)),
      ])
      expect(one.order.id).toBe(two.order.id)
      const other = queue.add(orderOf(), { ...key, digest: 'b'.repeat(64) }, nothing)
      await expect(other).rejects.toMatchObject({ code: 'IDEMPOTENCY_KEY_REUSED' })
      const elsewhere = await queue.add(orderOf({ owner: 'another' }), key, nothing)
      expect(elsewhere.order.id).not.toBe(one.order.id)
    })

    it('cancels what waits and what runs, once and for all', async () => {
      const { work, queue, add, becomes } = await start()
      const runs = await add()
      await becomes(runs, 'running')
      const waits = await add()
      const stopped = await queue.cancel(waits)
      expect(stopped).toMatchObject({ state: 'cancelled', finished: expect.any(Number) })
      expect(stopped).not.toHaveProperty('started')
      const instants = { started: expect.any(Number), finished: expect.any(Number) }
      expect(await queue.cancel(runs)).toMatchObject({ state: 'cancelled', ...instants })
      // what ran of it has stopped since
      const { finished } = (await queue.get(runs)) as Job
      const next = await add()
      await becomes(next, 'running')
      expect(work.begun).not.toContain(waits)
      await work.end(next)
      await becomes(next, 'done')
      expect((await queue.cancel(next))?.state).toBe('done')
      expect(await queue.cancel(runs)).toMatchObject({ state: 'cancelled', finished })
      expect(await queue.cancel('nobody')).toBeUndefined()
    })

    it('keeps the problem that ended a job, and tries again what was no fault of its own', async () => {
      const { work, queue, add, ended, becomes } = await start()
      const wrong = await add()
      await work.end(wrong, new Problem('NON_FINITE', 'a NaN'))
      expect(await ended(wrong)).toMatchObject({
        state: 'failed',
        problem: { code: 'NON_FINITE', status: 400, detail: 'a NaN' },
      })
      const unlucky = await add()
      await becomes(unlucky, 'running')
      const { started } = (await queue.get(unlucky)) as Job
      await work.end(unlucky, new Problem('WORKER_LOST', 'gone'))
      await work.end(unlucky)
      expect(await ended(unlucky)).toMatchObject({ state: 'done', started })
      const lost = await add()
      for (let attempt = 0; attempt < 3; attempt++) await work.end(lost, new Problem('WORKER_LOST', 'gone'))
      expect((await ended(lost)).problem?.code).toBe('WORKER_LOST')
      const fault = await add()
      await work.end(fault, new Error('secret'))
      const { problem } = await ended(fault)
      expect(problem?.code).toBe('INTERNAL')
      expect(JSON.stringify(problem)).not.toContain('secret')
    })

    it('runs others in the place of what finds no room, or has spent what its key may, and that later', async () => {
      const { work, queue, add, becomes, ended } = await start({ JOB_SECONDS: 2 })
      const reasons = [
        new Problem('BUSY', 'no memory', { retryAfter: 9 }),
        new Problem('TOO_MANY', 'no budget', { retryAfter: 1 }),
      ]
      for (const reason of reasons) {
        const held = await add()
        await becomes(held, 'running')
        const other = await add({ owner: 'another' })
        await work.end(held, reason)
        await becomes(other, 'running')
        const waits = await queue.get(held)
        expect(waits).toMatchObject({ state: 'queued' })
        expect(waits).not.toHaveProperty('started')
        await work.end(other)
        // the time that it waits is not its own
        await work.end(held, reason)
        await work.end(held, reason)
        await work.end(held)
        expect((await ended(held)).state).toBe('done')
        const gone = await add()
        await work.end(gone, reason)
        await becomes(gone, 'queued')
        expect((await queue.cancel(gone))?.state).toBe('cancelled')
        await expect.poll(() => work.forgotten, POLL).toContain(gone)
      }
    })

    it('keeps the time when a cut one was begun where its next part finds no room', async () => {
      const { work, queue, add, becomes, ended } = await start()
      const parts = [0, 1].map(from => ({
        batch: [from, from + 1] as [number, number],
        kvHeads: [0, 1] as [number, number],
      }))
      const id = await add({ parts })
      await becomes(id, 'running')
      const { started } = (await queue.get(id)) as Job
      await work.end(`${id} 0`)
      await expect.poll(async () => (await queue.get(id))?.progress.done, POLL).toBe(1)
      await work.end(`${id} 1`, new Problem('BUSY', 'no memory'))
      await work.end(`${id} 1`)
      expect(await ended(id)).toMatchObject({ state: 'done', started })
    })

    it('fails what takes too long', async () => {
      const { add, ended } = await start({ JOB_SECONDS: 0.05 })
      expect((await ended(await add())).problem?.code).toBe('DEADLINE_EXCEEDED')
    })

    it('has results for a time', async () => {
      const { work, add, becomes } = await start({ JOB_RESULT_SECONDS: 0.05 })
      const id = await add()
      await work.end(id)
      await becomes(id, 'expired')
    })

    it('runs so many at a time, of one key fewer, and takes no more than it holds', async () => {
      const limits = { JOBS_AT_ONCE: 3, JOBS_PER_KEY: 1, JOBS_QUEUED: 6 }
      const { work, queue, add, becomes } = await start(limits)
      const [mine, more, most] = [await add(), await add(), await add()]
      await becomes(mine, 'running')
      const other = await add({ owner: 'another' })
      await becomes(other, 'running')
      for (const id of [more, most]) {
        const waits = await queue.get(id)
        expect(waits?.state).toBe('queued')
        expect(waits).not.toHaveProperty('started')
      }
      await expect(add()).rejects.toMatchObject({ code: 'TOO_MANY' })
      const others = [other, await add({ owner: 'a third' }), await add({ owner: 'a fourth' })]
      await expect(add({ owner: 'a fifth' })).rejects.toMatchObject({ code: 'BUSY' })
      for (const id of [...others, mine, more, most]) await work.end(id)
      await becomes(most, 'done')
      await add()
    })

    it('runs the parts of a job that is cut, then joins them; one that fails ends it', async () => {
      const { work, add, becomes, ended, queue } = await start()
      const parts = [0, 1, 2].map(from => ({
        batch: [from, from + 1] as [number, number],
        kvHeads: [0, 1] as [number, number],
      }))
      const id = await add({ parts })
      await becomes(id, 'running')
      const first = (await queue.get(id)) as Job
      expect(first).toMatchObject({ started: expect.any(Number), progress: { done: 0, total: 4 } })
      for (const index of [0, 1, 2]) {
        await work.end(`${id} ${index}`)
        await expect.poll(async () => (await queue.get(id))?.progress.done, POLL).toBeGreaterThan(index)
      }
      const { state, result, progress, started } = await ended(id)
      expect({ state, progress }).toEqual({ state: 'done', progress: { done: 4, total: 4 } })
      expect(started).toBe(first.started)
      expect(result?.name).toBe([0, 1, 2].map(index => `${id} ${index}/1`).join())
      const wrong = await add({ parts })
      await work.end(`${wrong} 0`, new Problem('MEMORY_TOO_LARGE', 'too large'))
      expect(await ended(wrong)).toMatchObject({
        state: 'failed',
        problem: { code: 'MEMORY_TOO_LARGE' },
        started: expect.any(Number),
        finished: expect.any(Number),
      })
      const next = await add()
      await work.end(next)
      expect((await ended(next)).state).toBe('done')
    })

    it('counts jobs by what has become of them, a cut one once', async () => {
      const { work, queue, add, becomes, ended } = await start({ JOBS_AT_ONCE: 2 })
      const counted = (counts: object) =>
        expect.poll(() => queue.counts(), POLL).toEqual({ ...NONE, ...counts })
      await counted({})
      const [good, bad, runs] = [await add(), await add(), await add()]
      await becomes(good, 'running')
      await counted({ running: 2, queued: 1 })
      await work.end(good)
      await work.end(bad, new Problem('NON_FINITE', 'a NaN'))
      await becomes(runs, 'running')
      await counted({ running: 1, done: 1, failed: 1 })
      const parts = [0, 1].map(from => ({
        batch: [from, from + 1] as [number, number],
        kvHeads: [0, 1] as [number, number],
      }))
      const cut = await add({ parts })
      await work.end(`${cut} 0`)
      const waits = await add({ priority: 9 })
      for (const id of [waits, runs]) await queue.cancel(id)
      await work.end(`${cut} 1`)
      expect((await ended(cut)).state).toBe('done')
      await counted({ done: 2, failed: 1, cancelled: 2 })
    })

    it('counts what has expired as that', async () => {
      const { work, queue, add, becomes } = await start({ JOB_RESULT_SECONDS: 0.05 })
      const id = await add()
      await work.end(id)
      await becomes(id, 'expired')
      await expect.poll(() => queue.counts(), POLL).toEqual({ ...NONE, expired: 1 })
    })

    it('tells those who watch, and counts', async () => {
      const { work, queue, add, becomes } = await start()
      const id = await add()
      let told = 0
      const unwatch = queue.watch(id, () => told++)
      await work.end(id)
      await becomes(id, 'done')
      await expect.poll(() => told, POLL).toBeGreaterThan(0)
      unwatch()
      expect(await queue.counts()).toMatchObject({ queued: 0, running: 0, done: 1 })
      expect(queue.available).toBe(true)
    })
  })
}
