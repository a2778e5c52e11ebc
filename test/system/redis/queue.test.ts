/** The queue in Redis does what the one in the process does. */
import { RedisQueue } from '../../../src/jobs/redis/queue.ts'
import { describeQueue } from '../../support/queue-suite.ts'
import { RedisServer } from './redis-server.ts'

const redis = await RedisServer.start()
let database = 0

describeQueue('the queue in Redis', async (limits, work) => {
  const queue = new RedisQueue(
    {
      url: redis.url(database++),
      limits,
      lockSeconds: 5,
      graceMs: 100,
      log: (error, what) => {
        if (error !== undefined) console.error(what, error)
      },
    },
    work,
  )
  while (!queue.available) await new Promise(resolve => setTimeout(resolve, 5))
  return queue
})
