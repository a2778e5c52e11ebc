/** Keys at several servers: what one has used counts at all, a ticket is good at each, once; and without Redis each goes on alone. */
import { setTimeout as wait } from 'node:timers/promises'
import pino from 'pino'
import { afterAll, describe, expect, it } from 'vitest'
import { LocalCounts } from '../../../src/http/auth/counts.ts'
import { share } from '../../../src/http/auth/shared/index.ts'
import { LocalTickets } from '../../../src/http/auth/tickets.ts'
import { handshake } from '../../service/protection/handshake.ts'
import { addKey, bearer, folder } from '../../service/protection/key-file.ts'
import { RedisServer } from './redis-server.ts'
import { type Replica, startReplica, startReplicas, temporaryStore } from './replicas.ts'

const ok = { q: [[1]], k: [[1]], v: [[1]] }
const POLL = { timeout: 30_000, interval: 20 }
const redis = await RedisServer.start()
const file = `${await folder()}/keys.json`
const free = bearer(await addKey(file, { name: 'free' }))
const store = await temporaryStore()
const env = { REDIS_URL: redis.url(), STORE_URL: store.url, AUTH: 'keys', KEYS_FILE: file }
const replicas = await startReplicas(2, env)
const [one, two] = replicas

/** A key that both know already. */
async function key(name: string, limits: { requests_per_minute?: number; flops_per_minute?: number }) {
  const headers = bearer(await addKey(file, { name, ...limits }))
  await wait(150)
  return headers
}

const attend = (replica: Replica, headers: Record<string, string>) =>
  replica.ask('/v1/attention', ok, headers)
const open = ({ url }: Replica, query: string, headers = {}) => handshake({ url }, headers, query)
const plan = async (replica: Replica, headers: Record<string, string>) =>
  (await replica.ask('/v1/plan', { endpoint: '/v1/attention', body: ok }, headers)).body

/** Settles when a server counts in Redis. */
async function shared(replica: Replica): Promise<void> {
  const name = `probe-${new URL(replica.url).port}-${Math.round(performance.now())}`
  const probe = await key(name, { requests_per_minute: 1000 })
  await expect
    .poll(async () => {
      await attend(replica, probe)
      return await redis.command('EXISTS', `attention:used:requests:key:${name}`)
    }, POLL)
    .toBe(1)
}

describe('with Redis', () => {
  it('requests a minute are those at all servers', async () => {
    await Promise.all(replicas.map(shared))
    const four = await key('four', { requests_per_minute: 4 })
    const answers = []
    for (const replica of [one, two, two, one, one, two]) answers.push(await attend(replica, four))
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200, 429, 429])
    expect(answers.slice(0, 4).map(({ headers }) => headers.get('ratelimit-remaining'))).toEqual([
      '3',
      '2',
      '1',
      '0',
    ])
    expect(answers[5].body.code).toBe('RATE_LIMITED')
    expect(Number(answers[5].headers.get('retry-after'))).toBeGreaterThan(0)
    expect((await attend(two, free)).status).toBe(200)
  })

  it('FLOPs a minute are those at all servers; plans and jobs know', async () => {
    const { flops } = await plan(one, free)
    const some = await key('some', { flops_per_minute: 2.5 * flops })
    const answers = [await attend(one, some), await attend(two, some)]
    expect(answers.map(({ headers }) => Number(headers.get('ratelimit-remaining')))).toEqual([
      1.5 * flops,
      0.5 * flops,
    ])
    for (const replica of replicas) {
      expect((await attend(replica, some)).status).toBe(429)
      expect(await plan(replica, some)).toMatchObject({ admitted: false, problem: { code: 'RATE_LIMITED' } })
    }
    // whichever server runs it: it waits for the next minute
    const { body } = await two.ask('/v1/jobs', { endpoint: '/v1/attention', body: ok }, some)
    const state = async () => (await one.ask(`/v1/jobs/${body.id}`, undefined, some)).body.state
    for (let asked = 0; asked < 20; asked++) {
      // for a moment it is tried
      expect(['queued', 'running']).toContain(await state())
      await wait(50)
    }
    await redis.command('DEL', 'attention:used:flops:key:some')
    await expect.poll(state, POLL).toBe('done')
    expect(Number(await redis.command('GET', 'attention:used:flops:key:some'))).toBe(flops)
  })

  it('a ticket opens a stream at any server, once', async () => {
    const { ticket } = (await one.ask('/v1/stream-ticket', {}, free)).body
    expect(await open(two, `?ticket=${ticket}`)).toEqual({ status: 101 })
    for (const replica of replicas)
      expect(await open(replica, `?ticket=${ticket}`)).toMatchObject({ status: 401 })
    // what is in Redis opens nothing
    expect(await redis.command('EVAL', "return #redis.call('KEYS', 'attention:ticket:*')", '0')).toBe(0)
    const { ticket: other } = (await two.ask('/v1/stream-ticket', {}, free)).body
    const [name] = (await redis.command('KEYS', 'attention:ticket:*')) as string[]
    expect(name).not.toContain(other)
    expect(Number(await redis.command('TTL', name))).toBeLessThanOrEqual(30)
  })
})

describe('counts and tickets', () => {
  const log = pino({ level: 'silent' })
  const servers = [0, 1].map(() =>
    share(redis.url(1), { counts: new LocalCounts(), tickets: new LocalTickets() }, log),
  )
  afterAll(() => {
    for (const { close } of servers) close()
  })
  const ready = async () => {
    for (const [index, { counts }] of servers.entries())
      await expect
        .poll(async () => {
          await counts.take(`ready:${index}`, 1, 1e9)
          return await redis.command(
            'EVAL',
            `redis.call('SELECT', 1) return redis.call('EXISTS', 'attention:used:ready:${index}')`,
            '0',
          )
        }, POLL)
        .toBe(1)
  }

  it('are taken as a whole: of many at once no more get through than there is room for', async () => {
    await ready()
    const all = await Promise.all(
      Array.from({ length: 200 }, (_, index) => servers[index % 2].counts.take('flops:a', 0.5e13, 2.25e14)),
    )
    expect(all.filter(({ taken }) => taken)).toHaveLength(45)
    expect(Math.max(...all.map(({ used }) => used))).toBe(2.25e14)
    expect(await servers[0].counts.take('flops:a', 0, 2.25e14)).toMatchObject({ taken: true, used: 2.25e14 })
  })

  it('of one client push out nobody else’s tickets, and its own but for the newest', async () => {
    await ready()
    const who = (name: string) => ({ id: name, name, requestsPerMinute: undefined, flopsPerMinute: 7 })
    const ofBob = await servers[0].tickets.issue(who('bob'))
    const many = []
    for (let index = 0; index < 100; index++) many.push(await servers[index % 2].tickets.issue(who('alice')))
    expect(await servers[1].tickets.redeem(ofBob)).toEqual({ id: 'bob', name: 'bob', flopsPerMinute: 7 })
    const good = await Promise.all(many.map(each => servers[1].tickets.redeem(each)))
    expect(good.filter(each => each !== undefined)).toHaveLength(64)
  })
})

it('while Redis is away each server counts for itself, its tickets are its own, and nothing fails', async () => {
  await redis.stop()
  const late = await startReplica(env)
  const two = await key('alone', { requests_per_minute: 2 })
  for (const replica of [one, late]) {
    const statuses = []
    for (let index = 0; index < 3; index++) statuses.push((await attend(replica, two)).status)
    expect(statuses).toEqual([200, 200, 429])
    const { ticket } = (await replica.ask('/v1/stream-ticket', {}, free)).body
    expect(await open(replica === one ? late : one, `?ticket=${ticket}`)).toMatchObject({ status: 401 })
    expect(await open(replica, `?ticket=${ticket}`)).toEqual({ status: 101 })
  }
  await redis.begin()
  await Promise.all([one, late].map(shared))
  const three = await key('again', { requests_per_minute: 1 })
  expect([(await attend(one, three)).status, (await attend(late, three)).status]).toEqual([200, 429])
}, 120_000)
