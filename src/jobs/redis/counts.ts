/** How many jobs of all servers there are by state: jobs, not their parts. */
import type { Redis } from 'ioredis'
import type { JobState } from '../job.ts'
import { endedAs, RUNNING, UNFINISHED } from './names.ts'
import { jobIdOf } from './records.ts'

export async function countJobs(redis: Redis, resultSeconds: number): Promise<Record<JobState, number>> {
  const now = Date.now()
  const [unfinished, runs, ended, kept, failed, cancelled] = await Promise.all([
    redis.scard(UNFINISHED),
    redis.zrangebyscore(RUNNING, now, '+inf'),
    redis.zcard(endedAs('done')),
    redis.zcount(endedAs('done'), `(${now - resultSeconds * 1000}`, '+inf'),
    redis.zcard(endedAs('failed')),
    redis.zcard(endedAs('cancelled')),
  ])
  const running = Math.min(unfinished, new Set(runs.map(jobIdOf)).size)
  return { queued: unfinished - running, running, done: kept, failed, cancelled, expired: ended - kept }
}

/** Of those that have ended so long ago that nothing is known of them. */
export async function forgetCounted(redis: Redis, recordSeconds: number): Promise<void> {
  const old = Date.now() - recordSeconds * 1000
  for (const state of ['done', 'failed', 'cancelled'] as const) {
    await redis.zremrangebyscore(endedAs(state), '-inf', old)
  }
  await redis.zremrangebyscore(RUNNING, '-inf', Date.now())
}
