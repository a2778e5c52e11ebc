import { expect, it } from 'vitest'
import { describeQueue, HeldWork, orderOf } from '../../test/support/queue-suite.ts'
import { MemoryQueue } from './memory-queue.ts'

describeQueue('the queue in the process', async (limits, work) => new MemoryQueue(limits, work))

it('ends with its process: what has not ended says so', async () => {
  const work = new HeldWork()
  const limits = {
    JOB_SECONDS: 60,
    JOB_RESULT_SECONDS: 60,
    JOBS_AT_ONCE: 1,
    JOBS_PER_KEY: 1,
    JOBS_QUEUED: 10,
  }
  const queue = new MemoryQueue(limits, work)
  const { order } = await queue.add(orderOf(), undefined, async () => {})
  await queue.drain()
  expect(await queue.get(order.id)).toMatchObject({ state: 'failed', problem: { code: 'DRAINING' } })
  await queue.close()
})
