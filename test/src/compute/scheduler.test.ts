import { describe, expect, it } from 'vitest'
import { Arena } from '../../../src/compute/arena.ts'
import type { Watch } from '../../../src/compute/job.ts'
import { Scheduler, TASKS_PER_WORKER } from '../../../src/compute/scheduler.ts'
import { Speed } from '../../../src/compute/speed.ts'
import { Tickets } from '../../../src/compute/tickets.ts'
import type { Program } from '../../../src/programs/program.ts'
import type { Step, Task, TaskResult } from '../../../workers/program.ts'

const never = new AbortController().signal

/** A program of one step of so many seconds on one worker. */
function program(seconds: number, units: number, chain = 1): Program {
  const step: Step = {
    op: 'lossTotal',
    tensors: { scalars: 0 },
    args: { rows: 1, entropyWeight: 0 },
    ...{ phase: 'compute', units, chain, flops: seconds * new Speed().flops.float64, bytes: 0 },
  }
  return { precision: 'float64', buffers: [], stages: [[step]], marks: [], scratchBytes: 0 }
}

/** A scheduler whose pool notes what it is given and answers when it is told to. */
function bench(threads: number) {
  const waiting: { tasks: Task[]; answer(results: TaskResult[]): void }[] = []
  let most = 0
  const run = (tasks: Task[]) => {
    const { promise, resolve } = Promise.withResolvers<TaskResult[]>()
    waiting.push({ tasks, answer: resolve })
    most = Math.max(most, waiting.length)
    return promise
  }
  const tickets = new Tickets(new Arena(1 << 20), 64)
  const scheduler = new Scheduler(run, threads, new Speed(), tickets, { lost: () => {} })
  const submit = (p: Program, signal = never, watch?: Watch) =>
    scheduler.submit(p, { buffers: [], scratch: Array(threads + 1).fill(0) }, signal, watch)
  /** Lets the oldest crossing end; returns its tasks. */
  const turn = async (): Promise<Task[]> => {
    const next = waiting.shift()
    next?.answer(next.tasks.map(() => ({ ok: true, spans: {} })))
    await new Promise(resolve => setImmediate(resolve))
    return next?.tasks ?? []
  }
  return { scheduler, submit, turn, most: () => most }
}

describe('the scheduler', () => {
  it('lets small jobs overtake a large one', async () => {
    const { submit, turn } = bench(1)
    void submit(program(1, 1000))
    const small = submit(program(0.0001, 1))
    let ended = false
    void small.then(() => {
      ended = true
    })
    let turns = 0
    for (; !ended; turns++) await turn()
    expect(turns).toBeLessThanOrEqual(3)
  })

  it('does not let them overtake it for ever', async () => {
    const { submit, turn } = bench(1)
    let ended = false
    void submit(program(0.1, 1000)).then(() => {
      ended = true
    })
    let small = 0
    for (; !ended && small < 20_000; small += 8) {
      for (let i = 0; i < 8; i++) void submit(program(0.0002, 1))
      await turn()
    }
    expect(ended).toBe(true)
  })

  it('shares between large jobs', async () => {
    const { submit, turn } = bench(1)
    const order: string[] = []
    void submit(program(0.2, 1000)).then(() => order.push('long'))
    for (let i = 0; i < 4; i++) await turn()
    void submit(program(0.05, 1000)).then(() => order.push('short'))
    while (order.length < 2) await turn()
    expect(order).toEqual(['short', 'long'])
  })

  it('sends waiting small jobs together', async () => {
    const { submit, turn } = bench(1)
    const all = Promise.all(Array.from({ length: 20 }, () => submit(program(0.00001, 1))))
    const sizes: number[] = []
    for (let i = 0; i < 8; i++) sizes.push((await turn()).length)
    await all
    expect(sizes.slice(0, 2)).toEqual([1, 1])
    expect(Math.max(...sizes)).toBe(8)
  })

  it('runs slight stages that follow each other as one task, and cuts the others', async () => {
    const { submit, turn } = bench(2)
    const slight = Array.from({ length: 100 }, () => program(0.00001, 4).stages[0])
    const stages = [...slight, program(0.02, 100).stages[0], ...slight]
    const done = submit({ ...program(0, 1), stages })
    let ended = false
    void done.then(() => {
      ended = true
    })
    const steps: number[] = []
    while (!ended) steps.push((await turn()).flatMap(task => task.steps).length)
    // each stage is reckoned at 12 µs: all hundred together
    expect(steps[0]).toBe(100)
    expect(steps.at(-1)).toBe(100)
    expect(steps.slice(1, -1).length).toBeGreaterThanOrEqual(4)
    expect(new Set(steps.slice(1, -1))).toEqual(new Set([1]))
  })

  it('never has more in the pool than it should', async () => {
    const { submit, turn, most } = bench(2)
    const jobs = Array.from({ length: 10 }, () => submit(program(0.1, 500, 5)))
    for (let i = 0; i < 600; i++) await turn()
    await Promise.all(jobs)
    expect(most()).toBeLessThanOrEqual(4)
  })

  it('starts nothing more of a job that was stopped, and settles it when what runs has ended', async () => {
    const { submit, turn, scheduler } = bench(1)
    const stop = new AbortController()
    const job = submit(program(1, 1000), stop.signal)
    await turn()
    stop.abort(new Error('gone'))
    let settled = false
    const failed = job.catch(error => {
      settled = true
      return error.message
    })
    await new Promise(resolve => setImmediate(resolve))
    expect(settled).toBe(false)
    // what the pool had already: what runs, and what waits there behind it
    for (let left = TASKS_PER_WORKER; !settled && left > 0; left--) await turn()
    expect(settled).toBe(true)
    expect(await failed).toBe('gone')
    expect(scheduler.jobs).toBe(0)
    expect(scheduler.backlogSeconds).toBeCloseTo(0, 9)
    expect(await turn()).toEqual([])
  })
})

/** Stages of so many seconds each; marks after some of them. */
function marked(seconds: number[], marks: number[], units = 1): Program {
  return {
    ...{ precision: 'float64', buffers: [], scratchBytes: 0 },
    stages: seconds.map((each, stage) => {
      const [[step]] = program(each, units).stages
      return [{ ...step, args: { rows: stage, entropyWeight: 0 } } as Step]
    }),
    marks: marks.map(stage => ({ stage, buffers: [] })),
  }
}

/** The stages that a task has steps of. */
const stagesOf = (tasks: Task[]) =>
  tasks.flatMap(task => task.steps.map(({ args }) => (args as { rows: number }).rows))

describe('marks', () => {
  it('are reached when all before them is complete, and hold the job for as long as is said', async () => {
    const { scheduler, submit, turn } = bench(2)
    const reached: number[] = []
    const hold = Promise.withResolvers<void>()
    const job = submit(marked([0.02, 0.02, 0.02], [0, 1], 4), never, mark => {
      reached.push(mark)
      return mark === 1 ? hold.promise : undefined
    })
    const ran: number[] = []
    for (let i = 0; i < 60 && reached.length < 2; i++) ran.push(...stagesOf(await turn()))
    expect(reached).toEqual([0, 1])
    expect(new Set(ran)).toEqual(new Set([0, 1]))
    // it occupies nothing and nobody waits for it
    expect(await turn()).toEqual([])
    expect(scheduler.backlogSeconds).toBeCloseTo(0, 9)
    const other = submit(program(0.0001, 1))
    expect(await turn()).toHaveLength(1)
    await other
    hold.resolve()
    await new Promise(resolve => setImmediate(resolve))
    expect(scheduler.backlogSeconds).toBeGreaterThan(0)
    for (let i = 0; i < 60; i++) ran.push(...stagesOf(await turn()))
    expect(ran.filter(stage => stage === 2)).toHaveLength(4)
    await job
    expect(scheduler.jobs).toBe(0)
    expect(scheduler.backlogSeconds).toBeCloseTo(0, 9)
  })

  it('cut a cheap program into one task for each, and a mark at the end holds it too', async () => {
    const { submit, turn } = bench(1)
    const reached: number[] = []
    const hold = Promise.withResolvers<void>()
    let ended = false
    const job = submit(marked([1e-5, 1e-5, 1e-5, 1e-5, 1e-5], [1, 1, 2, 4]), never, mark => {
      reached.push(mark)
      return mark === 3 ? hold.promise : undefined
    }).then(() => {
      ended = true
    })
    expect(stagesOf(await turn())).toEqual([0, 1])
    expect(reached).toEqual([0, 1])
    expect(stagesOf(await turn())).toEqual([2])
    expect(stagesOf(await turn())).toEqual([3, 4])
    expect(reached).toEqual([0, 1, 2, 3])
    expect(ended).toBe(false)
    hold.resolve()
    await job
  })

  it('a held job can be stopped, and ends with what its holder throws', async () => {
    const { scheduler, submit, turn } = bench(1)
    const stop = new AbortController()
    const stopped = submit(marked([1e-5, 1e-5], [0]), stop.signal, () => new Promise(() => {}))
    const thrown = submit(marked([1e-5, 1e-5], [0]), never, () => Promise.reject(new Error('no more')))
    thrown.catch(() => {})
    for (let i = 0; i < 3; i++) await turn()
    stop.abort(new Error('gone'))
    await expect(stopped).rejects.toThrow('gone')
    await expect(thrown).rejects.toThrow('no more')
    expect(scheduler.jobs).toBe(0)
    expect(scheduler.backlogSeconds).toBeCloseTo(0, 9)
  })

  it('are not reached when a task on the way there has failed', async () => {
    let reached = 0
    const fault = { kind: 'non_finite', index: 0, found: 'NaN' } as const
    const run = async (tasks: Task[]): Promise<TaskResult[]> =>
      tasks.map(() => ({ ok: false, fault, step: 0, spans: {} }))
    const tickets = new Tickets(new Arena(1 << 20), 8)
    const scheduler = new Scheduler(run, 1, new Speed(), tickets, { lost: () => {} })
    const report = await scheduler.submit(
      marked([1e-5, 1e-5], [0, 1]),
      { buffers: [], scratch: [0] },
      never,
      () => {
        reached++
        return undefined
      },
    )
    expect(report.fault?.fault).toEqual(fault)
    expect(reached).toBe(0)
  })
})
