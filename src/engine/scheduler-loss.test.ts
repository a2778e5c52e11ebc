import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { program, settle, stopTheClock, workersBench } from '../../test/support/workers-bench.ts'
import { TASK_STATE } from '../../workers/contract.ts'
import { RESPONSE_MS } from './watchdog.ts'

beforeEach(stopTheClock)
afterEach(() => {
  vi.useRealTimers()
})

describe('a worker that is lost', () => {
  /** Three small jobs on their way, as one message; the worker dies with their task states like this. */
  async function dies(states: number[]) {
    const bench = workersBench(1)
    void bench.submit(program(0.00001, 1))
    void bench.submit(program(0.00001, 1))
    const jobs = states.map(() =>
      bench.submit(program(0.00001, 1)).then(
        () => 'done',
        ({ code }) => code,
      ),
    )
    await bench.turn()
    const [, message] = bench.sent
    for (const [index, state] of states.entries()) {
      if (state === TASK_STATE.done) bench.run(message.tasks[index])
      bench.setState(message.tasks[index], state)
    }
    message.fail(new Error('died'))
    bench.sent.splice(1)
    await settle()
    while (bench.sent.length > 0) await bench.turn()
    return { ended: await Promise.all(jobs), lost: bench.lost, jobs: bench.scheduler.jobs }
  }

  it('loses what was running, but not what was queued, done or faulted', async () => {
    const { ended, lost, jobs } = await dies([
      TASK_STATE.done,
      TASK_STATE.running,
      TASK_STATE.queued,
      TASK_STATE.faulted,
    ])
    expect(ended).toEqual(['done', 'WORKER_LOST', 'done', 'done'])
    expect(lost).toEqual(['died'])
    expect(jobs).toBe(0)
  })

  it('takes the job with it at which others are, and these leave', async () => {
    const { submit, sent, run, setState, scheduler } = workersBench(2)
    const ended = submit(program(1, 1000)).catch(({ code }) => code)
    const [second, first] = sent.splice(0)
    setState(first.tasks[0], TASK_STATE.running)
    first.fail(new Error('died'))
    await settle()
    expect(scheduler.jobs).toBe(1)
    const result = run(second.tasks[0])
    expect(result).toMatchObject({ ok: true })
    second.answer([result])
    expect(await ended).toBe('WORKER_LOST')
    expect(scheduler.jobs).toBe(0)
  })

  it('before it had begun, leaves its assignment to others', async () => {
    const { submit, sent, turn, scheduler } = workersBench(2)
    const ended = submit(program(1, 1000))
    const [, first] = sent
    first.fail(new Error('died'))
    sent.splice(1)
    while (sent.length > 0) await turn()
    expect((await ended).fault).toBeUndefined()
    expect(scheduler.jobs).toBe(0)
  })
})

describe('a worker that does not poll', () => {
  it('is replaced once its job has been stopped, and not before', async () => {
    const { submit, sent, setState, replaced, scheduler } = workersBench(2)
    const stop = new AbortController()
    const ended = submit(program(1, 1000), stop.signal).catch(({ message }) => message)
    const [second, first] = sent.splice(0)
    for (const { tasks } of [first, second]) setState(tasks[0], TASK_STATE.running)
    const later = (ms: number) => {
      vi.advanceTimersByTime(ms)
      scheduler.checkWorkers()
    }
    later(0)
    later(RESPONSE_MS)
    expect(scheduler.ready).toBe(false)
    expect(replaced).toEqual([])
    stop.abort(new Error('left'))
    later(1)
    expect(replaced.toSorted()).toEqual([0, 1])
    for (const { fail } of [first, second]) fail(new Error('replaced'))
    expect(await ended).toBe('left')
    later(1)
    expect(scheduler.ready).toBe(true)
  })

  it('is left alone while it polls, or has not begun', async () => {
    const { submit, sent, setState, setPolls, replaced, scheduler } = workersBench(2)
    const stop = new AbortController()
    void submit(program(1, 1000), stop.signal).catch(() => {})
    const [second, first] = sent.splice(0)
    setState(first.tasks[0], TASK_STATE.running)
    stop.abort(new Error('left'))
    for (let polls = 1; polls < 10; polls++) {
      setPolls(first.tasks[0], polls)
      vi.advanceTimersByTime(RESPONSE_MS)
      scheduler.checkWorkers()
    }
    expect(second.tasks).toHaveLength(1)
    expect(replaced).toEqual([])
    expect(scheduler.ready).toBe(true)
  })
})
