/** Jobs that take less than sending them: they are run on the thread that submits them, at the end of its turn. */
import { expect, it } from 'vitest'
import {
  never,
  program,
  programOf,
  settle,
  step,
  withBarriers,
  workersBench,
} from '../../test/support/workers-bench.ts'

const brief = () => program(0.00001, 4)

it('are run at the end of the turn, all their segments, beside whatever workers are at', async () => {
  const { submit, sent, calls, scheduler } = workersBench(1, { here: true })
  void submit(program(1, 1000))
  expect(sent).toHaveLength(1)
  const job = submit(programOf([[step(0.00001, 4)], [step(0.00001, 3, 1, 1)]]))
  expect(calls).toEqual([])
  expect((await job).queueMs).toBeLessThan(1000)
  expect(calls.map(({ stage, from, to }) => [stage, from, to])).toEqual([
    [0, 0, 4],
    [1, 0, 3],
  ])
  expect(sent).toHaveLength(1)
  expect(scheduler.jobs).toBe(1)
})

it('are run before that where the turn may be long', async () => {
  const { submit, calls, briefJobs } = workersBench(1, { here: true })
  let turnOver = false
  setImmediate(() => {
    turnOver = true
  })
  const jobs = [submit(brief()), submit(brief())]
  briefJobs?.poll()
  await Promise.all(jobs)
  expect(calls).toHaveLength(2)
  expect(turnOver).toBe(false)
})

it('are sent where they take longer, stop at barriers, or find no claim table', async () => {
  const { submit, sent, calls, turn } = workersBench(4, { here: true, claimTables: 2 })
  const jobs = [
    submit(program(0.00005, 1)),
    submit(withBarriers([0.00001, 0.00001], [0]), never, () => undefined),
    submit(brief()),
  ]
  await settle()
  expect(calls).toEqual([])
  expect(sent).toHaveLength(2)
  for (let turns = 0; turns < 4; turns++) await turn()
  await Promise.all(jobs)
})

it('say what is wrong with the data, and are lost alone where a kernel throws', async () => {
  const { submit, hooks, lost, calls } = workersBench(1, { here: true })
  hooks.onCall = () => {
    throw new Error('unreachable')
  }
  await expect(submit(brief())).rejects.toMatchObject({ code: 'WORKER_LOST' })
  expect(lost).toEqual([expect.stringContaining('unreachable')])
  delete hooks.onCall
  await submit(brief())
  expect(calls.at(-1)).toMatchObject({ from: 0, to: 4 })
})

it('are not begun once their signal has fired', async () => {
  const { submit, calls } = workersBench(1, { here: true })
  await expect(submit(brief(), AbortSignal.abort(new Error('gone')))).rejects.toThrow('gone')
  const stop = new AbortController()
  const waiting = submit(brief(), stop.signal)
  stop.abort(new Error('left'))
  await expect(waiting).rejects.toThrow('left')
  expect(calls).toEqual([])
})
