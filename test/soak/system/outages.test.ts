/** The disk of the store is full, Redis has no memory left, Redis is away at the start and for a while: clear errors, honest readiness, and all goes on without a restart. */
import { execFileSync } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { expect, it, onTestFinished } from 'vitest'
import { ended, longBody } from '../../system/redis/long-jobs.ts'
import { RedisServer } from '../../system/redis/redis-server.ts'
import { type Replica, startReplica, temporaryStore } from '../../system/redis/replicas.ts'
import { milliseconds, report } from '../figures.ts'
import { scaled } from '../scale.ts'
import { watchSmall } from '../watch.ts'

const AWAY_MS = scaled(3000, 60_000)
const POLL = { timeout: 60_000, interval: 50 }
const SMALL_DISK = 4 << 20

const submit = (replica: Replica, body: object) =>
  replica.ask('/v1/jobs', { endpoint: '/v1/attention', body })
const portOf = ({ url }: Replica) => Number(new URL(url).port)

/** A file system of a few megabytes; undefined where this process may not mount one. */
async function smallDisk(): Promise<string | undefined> {
  const folder = await mkdtemp(join(tmpdir(), 'disk-'))
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${SMALL_DISK}`, 'tmpfs', folder], { stdio: 'pipe' })
  } catch {
    await rm(folder, { recursive: true })
    return undefined
  }
  onTestFinished(async () => {
    execFileSync('umount', [folder])
    await rm(folder, { recursive: true })
  })
  return folder
}

it('a full disk: jobs are refused or fail with that, requests go on, and so do jobs once there is room', async () => {
  const folder = await smallDisk()
  if (folder === undefined) {
    console.log('no full disk: mounting a tmpfs is not permitted here')
    return
  }
  const replica = await startReplica({ STORE_URL: pathToFileURL(folder).href })
  const body = longBody()
  const filled = join(folder, 'other')
  await writeFile(filled, Buffer.alloc(SMALL_DISK - (64 << 10)))
  const refused = await submit(replica, body)
  expect(refused.status).toBe(503)
  expect(refused.body).toMatchObject({ code: 'STORE_UNAVAILABLE', detail: expect.stringContaining('full') })
  expect(refused.headers.get('retry-after')).toBeTruthy()
  // there is room for the input, and none for the result
  await writeFile(filled, Buffer.alloc(SMALL_DISK - (700 << 10)))
  const { status, body: taken } = await submit(replica, body)
  expect(status).toBe(202)
  expect(await ended(replica, taken.id)).toMatchObject({
    state: 'failed',
    problem: { code: 'STORE_UNAVAILABLE', detail: expect.stringContaining('full') },
  })
  expect((await replica.ask('/health/ready')).status).toBe(200)
  expect((await replica.ask('/v1/attention', { q: [[1]], k: [[1]], v: [[1]] })).status).toBe(200)
  await rm(filled)
  const again = await submit(replica, body)
  expect((await ended(replica, again.body.id)).state).toBe('done')
  report(
    'a full disk in the store',
    'a 503 STORE_UNAVAILABLE where the input has no room, `failed` with that where the result has none; the next job is done when there is room',
  )
})

it('Redis away at the start and for a while, and out of memory: jobs are a 503, requests are not', async () => {
  const redis = await RedisServer.start()
  const { url } = await temporaryStore()
  const env = { REDIS_URL: redis.url(), STORE_URL: url }
  const body = longBody()
  await redis.stop()
  const replica = await startReplica(env)
  const queue = () => replica.ask('/health/ready').then(({ status, body }) => `${status} ${body.queue}`)
  expect(await queue()).toBe('200 unavailable')
  expect(await submit(replica, body)).toMatchObject({ status: 503, body: { code: 'QUEUE_UNAVAILABLE' } })
  await redis.begin()
  await expect.poll(queue, POLL).toBe('200 ok')
  const { body: first } = await submit(replica, body)
  expect((await ended(replica, first.id)).state).toBe('done')

  const small = watchSmall(portOf(replica))
  const { body: before } = await submit(replica, body)
  await redis.stop('SIGKILL')
  await expect.poll(queue, POLL).toBe('200 unavailable')
  const until = performance.now() + AWAY_MS
  let refused = 0
  while (performance.now() < until) {
    const { status, body: problem } = await submit(replica, body)
    expect({ status, code: problem.code }).toEqual({ status: 503, code: 'QUEUE_UNAVAILABLE' })
    refused++
    await wait(200)
  }
  const { times, statuses } = await small()
  expect(Object.keys(statuses)).toEqual(['200'])
  const back = performance.now()
  await redis.begin()
  await expect.poll(queue, POLL).toBe('200 ok')
  const seconds = (performance.now() - back) / 1000
  for (const id of [before.id, (await submit(replica, body)).body.id])
    expect((await ended(replica, id)).state).toBe('done')

  await redis.command('CONFIG', 'SET', 'maxmemory', '1')
  const full = await submit(replica, body)
  expect(full).toMatchObject({
    status: 503,
    body: { code: 'QUEUE_UNAVAILABLE', detail: expect.stringContaining('memory is full') },
  })
  expect((await replica.ask('/v1/attention', { q: [[1]], k: [[1]], v: [[1]] })).status).toBe(200)
  await redis.command('CONFIG', 'SET', 'maxmemory', '0')
  const { body: last } = await submit(replica, body)
  expect((await ended(replica, last.id)).state).toBe('done')
  report(
    'Redis away and out of memory',
    `away at the start, and for ${AWAY_MS / 1000} s (${refused} jobs refused with 503 QUEUE_UNAVAILABLE, readiness says so), found ${seconds.toFixed(1)} s after it was back; the job under way was done, none lost; small requests meanwhile: ${milliseconds(times)}`,
  )
}, 600_000)
