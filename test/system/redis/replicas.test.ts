/** Jobs over several servers: taken by one, run by another, whatever becomes of either. */
import { readdir } from 'node:fs/promises'
import { expect, it } from 'vitest'
import { ended, longBody } from './long-jobs.ts'
import { RedisServer } from './redis-server.ts'
import { type Replica, type Reply, startReplica, startReplicas, temporaryStore } from './replicas.ts'

const redis = await RedisServer.start()
const store = await temporaryStore()
const env = { REDIS_URL: redis.url(), STORE_URL: store.url }
const replicas = await startReplicas(2, env)
const [one, two] = replicas
const POLL = { timeout: 30_000, interval: 20 }

const submit = (replica: Replica, body: object, headers = {}) =>
  replica.ask('/v1/jobs', { endpoint: '/v1/attention', body }, headers)

/** Sent again where Redis does not answer for a moment, as its writes may take long on a busy disk; the answer to what was taken. */
async function take(replica: Replica, body: object): Promise<Reply['body']> {
  for (;;) {
    const { status, body: answer } = await submit(replica, body)
    if (status !== 503) {
      expect(status, JSON.stringify(answer)).toBe(202)
      return answer
    }
    expect(answer.code).toBe('QUEUE_UNAVAILABLE')
  }
}

it('gives the answer of the request, from any server; one Idempotency-Key is one job on all', async () => {
  const body = longBody()
  const headers = { 'idempotency-key': 'one' }
  const [first, second] = await Promise.all([submit(one, body, headers), submit(two, body, headers)])
  expect([first.status, second.status]).toEqual([202, 202])
  const { id } = first.body
  expect(second.body.id).toBe(id)
  expect((await ended(two, id)).state).toBe('done')
  const direct = await one.ask('/v1/attention', body)
  for (const replica of replicas) {
    expect((await replica.ask(`/v1/jobs/${id}/result`)).body).toEqual(direct.body)
  }
  const other = await submit(two, { ...body, causal: true }, headers)
  expect(other.status).toBe(409)
})

it('is a 404 where its name is one of those that stand in Redis beside it', async () => {
  // so that they are there
  await ended(one, (await take(one, longBody())).id)
  for (const name of ['completed', 'failed', 'events', 'id', 'meta', 'stalled-check']) {
    for (const path of [name, `${name}/result`, `${name}/events`]) {
      const { status, body } = await one.ask(`/v1/jobs/${path}`)
      expect([path, status, body.code]).toEqual([path, 404, 'NOT_FOUND'])
    }
    expect((await fetch(`${one.url}/v1/jobs/${name}`, { method: 'DELETE' })).status).toBe(404)
  }
})

it('is cancelled by another server than the one that runs it, which stops', async () => {
  // some seconds each: none has ended before it is cancelled
  const jobs = await Promise.all(Array.from({ length: 5 }, () => take(one, longBody(1500))))
  for (const { id } of jobs) {
    const response = await fetch(`${two.url}/v1/jobs/${id}`, { method: 'DELETE' })
    expect(((await response.json()) as Reply['body']).state).toBe('cancelled')
  }
  for (const { id } of jobs) expect((await ended(one, id)).state).toBe('cancelled')
  // what is kept of them goes
  await expect
    .poll(async () => (await readdir(store.folder)).filter(name => jobs.some(({ id }) => id === name)), POLL)
    .toEqual([])
})

it('says so where Redis is away, still answers requests, and goes on when it is back', async () => {
  const body = longBody()
  const taken = await take(one, body)
  await redis.stop()
  const late = await startReplica(env)
  for (const replica of [one, late]) {
    await expect.poll(async () => (await replica.ask('/health/ready')).body.queue, POLL).toBe('unavailable')
    expect((await replica.ask('/health/ready')).status).toBe(200)
    const refused = await submit(replica, body)
    expect(refused.status).toBe(503)
    expect(refused.body.code).toBe('QUEUE_UNAVAILABLE')
    expect(refused.headers.get('retry-after')).toBeTruthy()
    expect((await replica.ask(`/v1/jobs/${taken.id}`)).status).toBe(503)
    expect((await replica.ask('/v1/attention', { q: [[1]], k: [[1]], v: [[1]] })).status).toBe(200)
  }
  await redis.begin()
  for (const replica of [one, late]) {
    await expect.poll(async () => (await replica.ask('/health/ready')).body.queue, POLL).toBe('ok')
  }
  expect((await ended(late, taken.id)).state).toBe('done')
  const next = await take(late, body)
  expect((await ended(one, next.id)).state).toBe('done')
}, 120_000)

it('says so where the memory of Redis is full', async () => {
  await redis.command('CONFIG', 'SET', 'maxmemory', '1')
  const full = await submit(one, longBody())
  expect(full.status).toBe(503)
  expect(full.body).toMatchObject({
    code: 'QUEUE_UNAVAILABLE',
    detail: expect.stringContaining('memory is full'),
  })
  await redis.command('CONFIG', 'SET', 'maxmemory', '0')
  const { id } = await take(one, longBody())
  expect((await ended(two, id)).state).toBe('done')
})

it('is cut into parts that any server runs, and joined, where it is too large', async () => {
  const body = longBody()
  const direct = await one.ask('/v1/attention', body)
  const small = await startReplica({ ...env, MAX_FLOPS: String(200e6) })
  expect((await small.ask('/v1/attention', body)).status).toBe(413)
  const taken = await take(small, body)
  expect(taken.parts).toBe(2)
  expect(await ended(two, taken.id)).toMatchObject({ state: 'done', progress: { done: 3, total: 3 } })
  expect((await one.ask(`/v1/jobs/${taken.id}/result`)).body).toEqual(direct.body)
})

it('is handed over by a server that shuts down', async () => {
  const { id } = await take(one, longBody())
  await expect.poll(async () => (await one.ask(`/v1/jobs/${id}`)).body.state, POLL).not.toBe('queued')
  await two.kill('SIGTERM')
  expect((await ended(one, id)).state).toBe('done')
})
