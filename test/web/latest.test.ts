/** Of the tasks that come while one runs, the newest is run after it, and no other. */
import { expect, it, vi } from 'vitest'
import { Latest } from '../../web/src/page/latest.ts'

it('runs the first and the last of a burst', async () => {
  const latest = new Latest()
  const ran: number[] = []
  const held = Promise.withResolvers<void>()
  for (const number of [1, 2, 3]) {
    latest.run(async () => {
      ran.push(number)
      await held.promise
    })
  }
  expect(ran).toEqual([1])
  held.resolve()
  await vi.waitFor(() => expect(ran).toEqual([1, 3]))
})

it('goes on after a task that failed', async () => {
  const reported = vi.fn()
  vi.stubGlobal('reportError', reported)
  const latest = new Latest()
  const ran: number[] = []
  latest.run(() => Promise.reject(new Error('drawing failed')))
  latest.run(async () => void ran.push(2))
  await vi.waitFor(() => expect(ran).toEqual([2]))
  latest.run(async () => void ran.push(3))
  await vi.waitFor(() => expect(ran).toEqual([2, 3]))
  expect(reported).toHaveBeenCalledOnce()
})
