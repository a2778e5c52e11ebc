/** Budgets of keys: requests and FLOPs a minute, runs of streams among them, and streams at once. */
import { afterEach, describe, expect, it, vi } from 'vitest'
import type { WebSocket } from 'ws'
import { LocalCounts } from '../../../src/http/auth/counts.ts'
import { FlopBudgets } from '../../../src/http/auth/flop-budgets.ts'
import { post, settled, startServer } from '../server.ts'
import { StreamClient } from '../stream-client.ts'
import { handshake } from './handshake.ts'
import { addKey, bearer, folder } from './key-file.ts'

const ok = { q: [[1]], k: [[1]], v: [[1]] }
const file = `${await folder()}/keys.json`
const free = await addKey(file, { name: 'free' })
const server = await startServer({ AUTH: 'keys', KEYS_FILE: file, THREADS: '1', STREAMS_PER_KEY: '2' })
const { flops } = (await post(server, '/v1/plan', { endpoint: '/v1/attention', body: ok }, bearer(free))).body

/** A key that the server knows already. */
async function key(name: string, limits: { requests_per_minute?: number; flops_per_minute?: number }) {
  const added = await addKey(file, { name, ...limits })
  await new Promise(resolve => setTimeout(resolve, 150))
  return bearer(added)
}

const ask = (headers: Record<string, string>) => post(server, '/v1/attention', ok, headers)
const told = ({ status, headers, body }: Awaited<ReturnType<typeof ask>>) => ({
  status,
  code: body.code,
  limit: headers.get('ratelimit-limit'),
  remaining: headers.get('ratelimit-remaining'),
  reset: Number(headers.get('ratelimit-reset')),
  retry: Number(headers.get('retry-after')),
})
const start = (id: string) => ({
  type: 'start',
  id,
  stack: { layers: 1, heads: 1, init: { seed: 1 } },
  x: [[1, 2]],
})

describe('requests a minute', () => {
  it('are counted down in every answer, and then a 429 says when to come back', async () => {
    const two = await key('two', { requests_per_minute: 2 })
    expect(told(await ask(two))).toMatchObject({ status: 200, limit: '2', remaining: '1' })
    expect(told(await post(server, '/v1/attention', {}, two))).toMatchObject({
      status: 400,
      limit: '2',
      remaining: '0',
    })
    const answer = await ask(two)
    const refused = told(answer)
    expect(refused).toMatchObject({ status: 429, code: 'RATE_LIMITED', limit: '2', remaining: '0' })
    expect(refused.retry).toBeGreaterThan(0)
    expect(refused.retry).toBeLessThanOrEqual(60)
    expect(refused.reset).toBe(refused.retry)
    expect(answer.headers.get('content-type')).toContain('application/problem+json')
    // others who come from there have a budget of their own
    expect(told(await ask(bearer(free)))).toMatchObject({ status: 200, limit: null })
    expect((await fetch(`${server.url}/health/ready`)).status).toBe(200)
  })

  it('count runs of a stream, which end with the same', async () => {
    const two = await key('runs', { requests_per_minute: 2 })
    const before = server.app.engine.arena.usedBytes
    const client = await StreamClient.open(server, undefined, two)
    client.send(start('a'))
    expect((await client.ended('a')).type).toBe('done')
    client.send(start('b'))
    expect(await client.ended('b')).toMatchObject({
      type: 'error',
      problem: { code: 'RATE_LIMITED', status: 429 },
    })
    await client.close()
    expect((await handshake(server, two)).status).toBe(429)
    expect(await settled(server, before)).toBe(before)
  })
})

describe('FLOPs a minute', () => {
  it('are those that a plan tells; what does not fit any more is a 429, and takes nothing', async () => {
    const before = server.app.engine.arena.usedBytes
    const half = await key('half', { flops_per_minute: 1.5 * flops })
    expect(told(await ask(half))).toMatchObject({
      status: 200,
      limit: String(1.5 * flops),
      remaining: String(0.5 * flops),
    })
    const refused = told(await ask(half))
    expect(refused).toMatchObject({ status: 429, code: 'RATE_LIMITED', remaining: String(0.5 * flops) })
    expect(refused.retry).toBeGreaterThan(0)
    expect((await post(server, '/v1/plan', { endpoint: '/v1/attention', body: ok }, half)).status).toBe(200)
    expect(await settled(server, before)).toBe(before)
  })

  it('that no minute has are a 429, too, which says so', async () => {
    const { body } = await ask(await key('one', { flops_per_minute: 1 }))
    expect(body.detail).toMatch(
      /expected at most 1 floating-point operations a minute .* more than a whole minute’s/,
    )
  })

  it('count runs of a stream', async () => {
    const some = await key('some', { flops_per_minute: 10 })
    const client = await StreamClient.open(server, undefined, some)
    client.send(start('a'))
    expect(await client.ended('a')).toMatchObject({ type: 'error', problem: { code: 'RATE_LIMITED' } })
    await client.close()
  })
})

it('streams at once of a key are bounded; another key has its own', async () => {
  const [one, other] = [await key('one-key', {}), await key('other-key', {})]
  const kept: WebSocket[] = []
  for (const headers of [one, one, other])
    expect((await handshake(server, headers, '', kept)).status).toBe(101)
  const refused = await handshake(server, one)
  expect(refused).toMatchObject({ status: 429, code: 'TOO_MANY' })
  expect(refused.headers?.['retry-after']).toBe('1')
  kept[0].close()
  await expect.poll(async () => (await handshake(server, one)).status).toBe(101)
  for (const socket of kept) socket.terminate()
})

describe('a budget of FLOPs', () => {
  afterEach(() => vi.useRealTimers())

  it('is there again after a minute, and follows its key', async () => {
    vi.useFakeTimers({ toFake: ['performance'] })
    let limit: number | undefined = 100
    const budgets = new FlopBudgets(new LocalCounts(), id => (id === 'a' ? limit : undefined))
    budgets.spend('a', 60)
    vi.advanceTimersByTime(45_000)
    expect(() => budgets.spend('a', 60)).toThrow(/of which 40 are left, got 60; come back in 15 s/)
    expect(await budgets.state('a')).toEqual({ limit: 100, remaining: 40, reset: 15 })
    vi.advanceTimersByTime(15_000)
    budgets.spend('a', 60)
    limit = 30
    expect(await budgets.state('a')).toMatchObject({ limit: 30, remaining: 0 })
    limit = undefined
    budgets.spend('a', 1e9)
    budgets.spend(undefined, 1e9)
  })
})
