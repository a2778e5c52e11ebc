/** Redis is restarted and a server killed under its jobs, again and again: every job ends once, right, or with its reason. */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { ended, longBody } from '../../system/redis/long-jobs.ts'
import { RedisServer } from '../../system/redis/redis-server.ts'
import { startReplicas, temporaryStore } from '../../system/redis/replicas.ts'
import { report } from '../figures.ts'
import { scaled } from '../scale.ts'

const ROUNDS = Number(process.env.SOAK_ROUNDS ?? scaled(2, 50))
const JOBS = 3
const POLL = { timeout: 60_000, interval: 20 }

const redis = await RedisServer.start()
const store = await temporaryStore()
const replicas = await startReplicas(2, { REDIS_URL: redis.url(), STORE_URL: store.url })

it('loses no job and keeps none twice', async () => {
  const [one, two] = replicas
  const body = longBody()
  const direct = await one.ask('/v1/attention', body)
  const begun = performance.now()
  const ids: string[] = []
  for (let round = 0; round < ROUNDS; round++) {
    const [killed, other] = round % 2 === 0 ? [two, one] : [one, two]
    for (let count = 0; count < JOBS; count++) {
      const headers = { 'idempotency-key': `${round} ${count}` }
      // while Redis comes back jobs are a 503, which is asked again
      await expect
        .poll(async () => {
          const { status, body: taken } = await other.ask(
            '/v1/jobs',
            { endpoint: '/v1/attention', body },
            headers,
          )
          if (status === 202) ids.push(taken.id)
          return status === 202 ? status : `${status} ${taken.code} ${taken.detail}`
        }, POLL)
        .toBe(202)
    }
    await expect
      .poll(async () => (await other.ask(`/v1/jobs/${ids.at(-JOBS)}`)).body.state, POLL)
      .not.toBe('queued')
    await redis.restart('SIGKILL')
    await killed.kill()
    await killed.begin()
  }
  expect(new Set(ids).size).toBe(ROUNDS * JOBS)
  const states: Record<string, number> = {}
  for (const id of ids) {
    const job = await ended(one, id)
    states[job.state] = (states[job.state] ?? 0) + 1
    if (job.state === 'failed') {
      expect(job.problem.code, JSON.stringify(job)).toBe('WORKER_LOST')
      continue
    }
    expect(job.state, JSON.stringify(job)).toBe('done')
    expect((await two.ask(`/v1/jobs/${id}/result`)).body).toEqual(direct.body)
    // input and result: whatever ran twice has written once
    const kept = await readdir(join(store.folder, id))
    expect(kept.filter(name => !name.startsWith('.'))).toHaveLength(2)
  }
  const seconds = (performance.now() - begun) / 1000
  // what is counted of all servers is what was sent
  const { done = 0, failed = 0 } = states
  const counted = async () => {
    const text = await (await fetch(`${one.url}/metrics`)).text()
    return ['done', 'failed', 'queued', 'running'].map(state =>
      Number(new RegExp(`attention_queue_jobs\\{state="${state}"\\} (\\d+)`).exec(text)?.[1]),
    )
  }
  await expect.poll(counted, POLL).toEqual([done, failed, 0, 0])
  report(
    'Redis restarted and a server killed under jobs',
    `${ROUNDS} times each (kill -9 both): ${ids.length} jobs of about half a second: ${JSON.stringify(states)}, each of those done with the bits of the request and one input and one result in the store; ${seconds.toFixed(0)} s in all`,
  )
}, 600_000)
