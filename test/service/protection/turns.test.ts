/** Keys have turns at the workers: who asks for much at once delays who asks for little by a turn, not by all of it. Counted, not timed. */
import { expect, it } from 'vitest'
import type { WebSocket } from 'ws'
import { drawer } from '../../support/layer-cases.ts'
import { SLEEPS } from '../accidents.ts'
import { type Answer, post, startServer } from '../server.ts'
import { handshake } from './handshake.ts'
import { addKey, bearer, folder } from './key-file.ts'

const file = `${await folder()}/keys.json`
const alice = bearer(await addKey(file, { name: 'alice' }))
const bob = bearer(await addKey(file, { name: 'bob' }))
const workerFile = new URL('../faulty-worker.ts', import.meta.url)
const settings = { AUTH: 'keys', KEYS_FILE: file, THREADS: '1', STREAMS_PER_KEY: '2' }
const server = await startServer(settings, { workerFile })

/** Sends many of one key, and then what another key asks for: how many of the first have an answer when the last of the others has. */
async function flooded(many: string[], some: () => Promise<Answer[]>): Promise<number> {
  let answered = 0
  const flood = many.map(async body => {
    const { status } = await post(server, '/v1/attention', body, alice)
    answered++
    return status
  })
  // most of them wait, or run
  await expect.poll(() => server.app.engine.jobs, { interval: 5 }).toBeGreaterThanOrEqual(many.length * 0.75)
  const before = answered
  const others = await some()
  const meanwhile = answered - before
  expect(others.map(({ status }) => status)).toEqual(others.map(() => 200))
  expect(await Promise.all(flood)).toEqual(flood.map(() => 200))
  return meanwhile
}

it('requests of a key that sends few come in turn with those of one that sends many', async () => {
  const small = (scale: number) => JSON.stringify({ q: [[1]], k: [[1]], v: [[1]], scale })
  const many = Array.from({ length: 16 }, () => small(SLEEPS))
  const atOnce = () => Promise.all([1, 1, 1].map(scale => post(server, '/v1/attention', small(scale), bob)))
  expect(await flooded(many, atOnce)).toBeLessThan(7)
})

it('a long computation of one key gets as much as eight of another together', async () => {
  const draw = drawer(7)
  const { data } = draw(2 * 700 * 16) as { data: number[] }
  const base64 = Buffer.from(Float32Array.from(data).buffer).toString('base64')
  const x = { shape: [1, 2, 700, 16], dtype: 'float32', base64 }
  const long = JSON.stringify({ q: x, k: x, v: x, precision: 'float64', return: ['entropy'] })
  const three = async () => {
    const answers = []
    for (const body of [long, long, long]) answers.push(await post(server, '/v1/attention', body, bob))
    return answers
  }
  // of one key they would end with the others
  expect(await flooded(Array(8).fill(long), three)).toBeLessThan(4)
}, 60_000)

it('streams that were opened by tickets are those of the key', async () => {
  const kept: WebSocket[] = []
  const ticket = async () => `?ticket=${(await post(server, '/v1/stream-ticket', {}, alice)).body.ticket}`
  for (const _ of [1, 2]) expect((await handshake(server, {}, await ticket(), kept)).status).toBe(101)
  expect(await handshake(server, {}, await ticket())).toMatchObject({ status: 429, code: 'TOO_MANY' })
  expect((await handshake(server, alice)).status).toBe(429)
  expect((await handshake(server, bob)).status).toBe(101)
  for (const socket of kept) socket.terminate()
})
