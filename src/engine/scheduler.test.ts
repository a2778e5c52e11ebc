import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import {
  type Call,
  never,
  program,
  programOf,
  settle,
  step,
  stopTheClock,
  withBarriers,
  workersBench,
} from '../../test/support/workers-bench.ts'
import { MAX_PER_SLOT } from './pool.ts'

beforeEach(stopTheClock)
afterEach(() => {
  vi.useRealTimers()
})

/** The clock moves on while something runs. */
const take = ({ ms }: Call) => vi.advanceTimersByTime(ms)

describe('the scheduler', () => {
  it('preempts a large job for a small one', async () => {
    const { submit, turn, hooks, calls } = workersBench(1)
    let small: Promise<unknown> | undefined
    void submit(program(1, 1000))
    hooks.onCall = call => {
      take(call)
      if (calls.length === 5) small = submit(program(0.0001, 1))
    }
    const ranges = await turn()
    expect(ranges).toHaveLength(5)
    expect(await turn()).toHaveLength(1)
    await small
    // and goes on where it left
    hooks.onCall = () => calls.length > 1 && expect(calls.at(-2)?.to).toBe(calls.at(-1)?.from)
    const remainder = await turn()
    expect(remainder[0].from).toBe(ranges[4].to)
    expect(remainder.at(-1)?.to).toBe(1000)
  })

  it('has a small job wait at a worker that has been asked to leave, and at no other', async () => {
    const one = workersBench(1)
    void one.submit(program(1, 1000))
    expect(one.sent).toHaveLength(1)
    const small = one.submit(program(0.0001, 1))
    // before the worker has answered
    expect(one.sent.map(({ tasks }) => tasks.length)).toEqual([1, 1])
    await one.turn()
    expect(await one.turn()).toMatchObject([{ from: 0, to: 1, ms: 0.1 }])
    await small

    // either of two may be the one that leaves
    const two = workersBench(2)
    void two.submit(program(1, 1000))
    expect(two.sent).toHaveLength(2)
    void two.submit(program(0.0001, 1))
    expect(two.sent).toHaveLength(2)
  })

  it('does not let small ones overtake it for ever', async () => {
    const { submit, turn, hooks } = workersBench(1)
    let ended = false
    void submit(program(0.1, 100)).then(() => {
      ended = true
    })
    const more = () => void submit(program(0.0002, 1)).then(more)
    for (let i = 0; i < 16; i++) more()
    hooks.onCall = take
    let turns = 0
    for (; !ended && turns < 1000; turns++) await turn()
    expect(ended).toBe(true)
    // eight small ones, 1.6 ms, at a time against slices of the large one's 100 ms
    expect(turns).toBeGreaterThan(20)
  })

  it('shares between large jobs, in slices', async () => {
    const { submit, turn, hooks } = workersBench(1)
    const order: string[] = []
    void submit(program(0.2, 1000)).then(() => order.push('long'))
    let calls = 0
    hooks.onCall = call => {
      take(call)
      if (++calls === 5) void submit(program(0.05, 1000)).then(() => order.push('short'))
    }
    let turns = 0
    for (; order.length < 2; turns++) await turn()
    expect(order).toEqual(['short', 'long'])
    // 50 ms of each in turn, 6 to 12 ms at a time, and before and after that the long one alone
    expect(turns).toBeGreaterThan(8)
    expect(turns).toBeLessThan(20)
  })

  it('sends waiting small jobs together', async () => {
    const { submit, turn } = workersBench(1)
    const all = Promise.all(Array.from({ length: 20 }, () => submit(program(0.00001, 1))))
    const sizes: number[] = []
    for (let i = 0; i < 8; i++) sizes.push((await turn()).length)
    await all
    expect(sizes.slice(0, 2)).toEqual([1, 1])
    expect(Math.max(...sizes)).toBe(8)
  })

  it('lets a team go through many stages in one dispatch each, and is there no more when all are complete', async () => {
    const { submit, turn, sent } = workersBench(2)
    const slight = Array.from({ length: 20 }, (_, stage) => [step(0.00001, 4, 1, stage)])
    const stages = [...slight, [step(0.02, 100, 1, 20)], ...slight]
    const done = submit(programOf(stages))
    expect(sent).toHaveLength(2)
    const stagesRun = (await turn()).map(({ stage }) => stage)
    expect(stagesRun.filter(stage => stage === 20).length).toBeGreaterThan(10)
    expect(new Set(stagesRun).size).toBe(21)
    expect(await turn()).toEqual([])
    await done
    expect(sent).toHaveLength(0)
  })

  it('runs a cheap program as one task, however many steps it has', async () => {
    const { submit, turn, sent } = workersBench(4)
    const cheap = submit(programOf([Array.from({ length: 200 }, (_, i) => step(1e-6, 3, 1, i))]))
    const ran: number[] = []
    for (let turns = 0; turns < 4; turns++) {
      expect(sent).toHaveLength(1)
      ran.push(...(await turn()).map(({ stage }) => stage))
    }
    await cheap
    expect(ran).toEqual(Array.from({ length: 200 }, (_, i) => i))
  })

  it('has the first of a team woken, and the others by one another, when their tasks are there', async () => {
    const { submit, sent } = workersBench(6)
    void submit(program(1, 10_000))
    expect(sent).toHaveLength(6)
    expect(sent.map(({ quiet }) => quiet)).toEqual([true, true, true, true, true, false])
    const wakes = sent.map(({ slot, tasks }) => [slot, tasks[0].wakes] as const).toSorted(([a], [b]) => a - b)
    expect(wakes.map(([, words]) => words)).toEqual([[1001, 1002], [1003, 1004], [1005], [], [], []])
  })

  it('cuts a step of many units also where its arithmetic is nothing', async () => {
    const { submit, turn, sent, calls, hooks } = workersBench(1)
    const stop = new AbortController()
    const job = submit(program(0, 2e9), stop.signal).catch(error => error.message)
    hooks.onCall = () => {
      if (calls.length === 3) stop.abort(new Error('gone'))
    }
    for (const { to, from } of await turn()) expect(to - from).toBeLessThan(1e6)
    expect(await job).toBe('gone')
    expect(sent).toHaveLength(0)
  })

  it('keeps the order of units that accumulate when their worker is preempted', async () => {
    const { submit, turn, hooks, sent } = workersBench(2)
    const done = submit(program(0.4, 40, 20))
    const seen: number[] = []
    hooks.onCall = call => {
      take(call)
      const { from, to } = call
      for (let unit = from; unit < to; unit++) seen.push(unit)
      // the first to run is preempted in the middle of its chain
      if (seen.length === 3) for (let i = 0; i < 2; i++) void submit(program(0.0001, 1))
    }
    while (sent.length > 0) await turn()
    await done
    const units = seen.filter((_, index) => index !== seen.indexOf(0, 1))
    expect(new Set(units)).toEqual(new Set(Array.from({ length: 40 }, (_, unit) => unit)))
    for (const chain of [0, 20]) {
      const own = units.filter(unit => unit >= chain && unit < chain + 20 && unit > 0)
      expect(own).toEqual(own.toSorted((a, b) => a - b))
    }
  })

  it('never has more at a slot than it should', async () => {
    const { submit, turn, sent } = workersBench(2)
    const jobs = Array.from({ length: 10 }, () => submit(program(0.1, 500, 5)))
    jobs.push(...Array.from({ length: 100 }, () => submit(program(0.0001, 1))))
    while (sent.length > 0) {
      for (const slot of [0, 1]) {
        const here = sent.filter(each => each.slot === slot)
        expect(here.length).toBeLessThanOrEqual(MAX_PER_SLOT)
        expect(
          here
            .slice(1)
            .flatMap(({ tasks }) => tasks)
            .every(({ team }) => team === 1),
        ).toBe(true)
      }
      await turn()
    }
    await Promise.all(jobs)
  })

  it('has as many segments begun at a time as there are claim tables', async () => {
    const { submit, turn, sent, scheduler } = workersBench(4, { claimTables: 2 })
    const jobs = Promise.all(Array.from({ length: 5 }, () => submit(program(0.001, 1))))
    expect(sent.flatMap(({ tasks }) => tasks)).toHaveLength(2)
    while (sent.length > 0) await turn()
    await jobs
    expect(scheduler.jobs).toBe(0)
  })

  it('says how long a job waited for its first task, also where that was no time at all', async () => {
    const { submit, turn } = workersBench(1)
    const job = submit(withBarriers([1e-5, 1e-5], [0]))
    await turn()
    vi.advanceTimersByTime(5)
    await turn()
    expect((await job).queueMs).toBe(0)
    const late = submit(program(1e-5, 1))
    vi.advanceTimersByTime(3)
    await turn()
    expect((await late).queueMs).toBe(3)
  })

  it('starts nothing more of a job that was stopped, and settles it when what runs has ended', async () => {
    const { submit, turn, scheduler, hooks, calls, sent } = workersBench(1)
    const stop = new AbortController()
    const job = submit(program(1, 1000), stop.signal)
    let settled = false
    const failed = job.catch(error => {
      settled = true
      return error.message
    })
    hooks.onCall = call => {
      take(call)
      if (calls.length === 7) stop.abort(new Error('gone'))
      expect(settled).toBe(false)
    }
    expect(await turn()).toHaveLength(7)
    expect(await failed).toBe('gone')
    expect(scheduler.jobs).toBe(0)
    expect(scheduler.backlogSeconds).toBeCloseTo(0, 9)
    expect(sent).toHaveLength(0)
  })
})

describe('barriers', () => {
  it('are reached when all before them is complete, and block the job for as long as is said', async () => {
    const { scheduler, submit, turn, sent } = workersBench(2)
    const reached: number[] = []
    const hold = Promise.withResolvers<void>()
    const job = submit(withBarriers([0.02, 0.02, 0.02], [0, 1], 4), never, barrier => {
      reached.push(barrier)
      return barrier === 1 ? hold.promise : undefined
    })
    const ran: number[] = []
    for (let i = 0; i < 60 && reached.length < 2; i++) ran.push(...(await turn()).map(({ stage }) => stage))
    expect(reached).toEqual([0, 1])
    expect(new Set(ran)).toEqual(new Set([0, 1]))
    // no worker is at it, and it waits for none
    expect(sent).toHaveLength(0)
    expect(scheduler.backlogSeconds).toBeCloseTo(0, 9)
    const other = submit(program(0.0001, 1))
    expect(await turn()).toHaveLength(1)
    await other
    hold.resolve()
    await settle()
    expect(scheduler.backlogSeconds).toBeGreaterThan(0)
    const last = [...(await turn()), ...(await turn())]
    expect(last.filter(({ stage }) => stage === 2).reduce((sum, { from, to }) => sum + to - from, 0)).toBe(4)
    await job
    expect(scheduler.jobs).toBe(0)
    expect(scheduler.backlogSeconds).toBeCloseTo(0, 9)
  })

  it('cut a cheap program into one task for each, and a barrier at the end blocks it too', async () => {
    const { submit, turn } = workersBench(1)
    const stages = async () => (await turn()).map(({ stage }) => stage)
    const reached: number[] = []
    const hold = Promise.withResolvers<void>()
    let ended = false
    const job = submit(withBarriers([1e-5, 1e-5, 1e-5, 1e-5, 1e-5], [1, 1, 2, 4]), never, barrier => {
      reached.push(barrier)
      return barrier === 3 ? hold.promise : undefined
    }).then(() => {
      ended = true
    })
    expect(await stages()).toEqual([0, 1])
    expect(reached).toEqual([0, 1])
    expect(await stages()).toEqual([2])
    expect(await stages()).toEqual([3, 4])
    expect(reached).toEqual([0, 1, 2, 3])
    expect(ended).toBe(false)
    hold.resolve()
    await job
  })

  it('let a blocked job be stopped, and end it with what the promise rejects with', async () => {
    const { scheduler, submit, turn } = workersBench(1)
    const stop = new AbortController()
    const stopped = submit(withBarriers([1e-5, 1e-5], [0]), stop.signal, () => new Promise(() => {}))
    const thrown = submit(withBarriers([1e-5, 1e-5], [0]), never, () => Promise.reject(new Error('no more')))
    thrown.catch(() => {})
    for (let i = 0; i < 3; i++) await turn()
    stop.abort(new Error('gone'))
    await expect(stopped).rejects.toThrow('gone')
    await expect(thrown).rejects.toThrow('no more')
    expect(scheduler.jobs).toBe(0)
    expect(scheduler.backlogSeconds).toBeCloseTo(0, 9)
  })

  it('are not reached when a task on the way there has failed', async () => {
    const { submit, sent } = workersBench(1)
    let reached = 0
    const fault = { kind: 'non_finite', index: 0, found: 'NaN' } as const
    const report = submit(withBarriers([1e-5, 1e-5], [0, 1]), never, () => {
      reached++
      return undefined
    })
    sent[0].answer([{ ok: false, fault, step: 0, spans: {}, measured: [] }])
    expect((await report).fault?.fault).toEqual(fault)
    expect(reached).toBe(0)
  })
})
