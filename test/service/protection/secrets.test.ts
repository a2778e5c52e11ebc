/** Secrets are in no line of the log, at its most talkative, in no answer, and in no error: keys, wrong keys, tickets, tokens, passwords. */

import pino from 'pino'
import { expect, it } from 'vitest'
import { buildApp } from '../../../src/app.ts'
import { readConfig } from '../../../src/config.ts'
import { post, type Server } from '../server.ts'
import { StreamClient } from '../stream-client.ts'
import { handshake } from './handshake.ts'
import { addKey, bearer, command, folder } from './key-file.ts'

const ok = { q: [[1]], k: [[1]], v: [[1]] }
const dir = await folder()
const file = `${dir}/keys.json`
const good = await addKey(file, { name: 'good' })
const expired = await addKey(file, { name: 'expired', expires: '2001-01-01T00:00:00.000Z' })
const wrong = `attn_${'0'.repeat(12)}_${'w'.repeat(43)}`
const token = `eyJhbGciOiJFUzI1NiJ9.${Buffer.from('{"sub":"secret-subject"}').toString('base64url')}.c2lnbmF0dXJl`
const basic = Buffer.from('user:secret-password').toString('base64')

it('a run with all of them says none of them', async () => {
  const log: string[] = []
  const answers: string[] = []
  const logger = pino({ level: 'trace' }, { write: (line: string) => void log.push(line) })
  const config = readConfig({ PORT: '0', THREADS: '1', KERNELS: 'wide', AUTH: 'keys', KEYS_FILE: file })
  const app = await buildApp(config, logger)
  await app.fastify.listen({ host: '127.0.0.1', port: 0 })
  const address = app.fastify.server.address() as { port: number }
  const server: Server = { app, url: `http://127.0.0.1:${address.port}`, log }
  const tickets: string[] = []
  try {
    const say = async (path: string, body: unknown, headers: Record<string, string>) => {
      const answer = await post(server, path, body, headers)
      // what a client writes into its body may be quoted back to it, and to nobody else
      if (body === ok) answers.push(JSON.stringify([answer.body, ...answer.headers]))
      return answer
    }
    for (const secret of [good, expired, wrong, token]) {
      for (const body of [ok, { ...ok, [secret]: secret }, { ...ok, scale: secret }, `{"q":${secret}`])
        await say('/v1/attention', body, bearer(secret))
      // by the address, in other headers, as another scheme
      await say(`/v1/none?key=${secret}&access_token=${secret}`, ok, bearer(secret))
      await say(`/v1/attention?ticket=${secret}`, ok, { cookie: `key=${secret}`, 'x-api-key': secret })
      await say('/v1/attention', ok, { authorization: `Basic ${basic}` })
      await say('/v1/attention', ok, { authorization: secret })
      await handshake(server, {}, `?ticket=${secret}`)
      await handshake(server, bearer(secret))
    }
    for (let count = 0; count < 3; count++) {
      const { ticket } = (await post(server, '/v1/stream-ticket', {}, bearer(good))).body
      tickets.push(ticket)
    }
    await handshake(server, {}, `?ticket=${tickets[0]}`)
    await handshake(server, {}, `?ticket=${tickets[0]}`)
    await say(`/v1/stream?ticket=${tickets[1]}`, ok, {})
    const client = await StreamClient.open(server, undefined, bearer(good))
    client.send({ type: 'start', id: 'a', stack: { layers: 1, heads: 1, init: { seed: 1 } }, x: [[1, 2]] })
    await client.ended('a')
    await client.close()
    answers.push(await (await fetch(`${server.url}/metrics`, { headers: bearer(good) })).text())
    // a socket that speaks no HTTP
    await post(server, '/v1/attention', ok, { ...bearer(good), 'x-long': 'a'.repeat(20_000) })
  } finally {
    await app.close()
  }
  expect(log.length).toBeGreaterThan(20)
  const said = [...log, ...answers].join('\n')
  const secrets = [good, expired, wrong].map(key => key.slice(-43)).concat(tickets, token.split('.'), basic)
  for (const secret of secrets) expect(said).not.toContain(secret)
  for (const secret of [...tickets, good.slice(-43), basic])
    expect(log.join('')).not.toContain(secret.slice(0, 24))
  expect(log.join('')).not.toMatch(/"authorization"|"cookie"|Bearer attn_|secret-password|secret-subject/)
})

it('the command that adds a key says it once, on standard output alone; what goes wrong says none', async () => {
  const own = `${dir}/own.json`
  const added = await command(['keys', 'add', 'a', '--file', own])
  const [secret] = /attn_[0-9a-f]{12}_[\w-]{43}/.exec(added.stdout) ?? []
  expect(secret).toBeDefined()
  for (const args of [
    ['list'],
    ['add', 'a'],
    ['remove', 'none'],
    ['add', secret as string, '--expires', 'never'],
  ]) {
    const { stdout, stderr } = await command(['keys', ...args, '--file', own])
    expect(stdout + stderr).not.toContain((secret as string).slice(-43))
  }
  expect(() => readConfig({ REDIS_URL: 'http://me:hunter2@redis/' })).toThrow(/^(?!.*hunter2)/s)
  expect(() => readConfig({ REDIS_URL: 'redis://me:hunter2@redis/' })).toThrow(/^(?!.*hunter2)/s)
})
