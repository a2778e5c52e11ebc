/** Memory on a client's word: what is announced, begun or held takes nothing from the others, and all of it comes back. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { attention, type Server, settled, startServer } from './server.ts'
import { StreamClient } from './stream-client.ts'

const MB = 1 << 20
const I = [
  [1, 0],
  [0, 1],
]
const tiny = { q: I, k: I, v: I }
const HEAD = 'POST /v1/attention HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n'
/** on a machine that is busy */
const SOON = { timeout: 40_000 }
const wait = (ms: number) => new Promise(resolve => setTimeout(resolve, ms))

/** A raw connection, from an address of its own where one is given, and all that is answered on it. */
class Sender {
  readonly socket: Socket
  answer = ''
  readonly closed: Promise<unknown>

  constructor(server: Server, localAddress = '127.0.0.1') {
    this.socket = connect({ port: Number(new URL(server.url).port), host: '127.0.0.1', localAddress })
    this.socket.on('error', () => {})
    this.socket.on('data', data => {
      this.answer += data
    })
    this.closed = new Promise(resolve => this.socket.on('close', resolve))
  }

  /** Resolves when the bytes have been taken, or the connection has ended. */
  async send(...parts: (string | Buffer)[]): Promise<void> {
    for (const part of parts)
      if (!this.socket.write(part))
        await Promise.race([new Promise(resolve => this.socket.once('drain', resolve)), this.closed])
  }

  get problem() {
    return JSON.parse(this.answer.slice(this.answer.indexOf('\r\n\r\n') + 4))
  }
}

/** Whether everybody else is served. */
async function expectServed(server: Server, count = 8): Promise<void> {
  const answers = await Promise.all(Array.from({ length: count }, () => attention(server, tiny)))
  expect(answers.map(({ status }) => status)).toEqual(Array(count).fill(200))
}

/** An attention whose body and whose tensors take some MB each. */
function middling(server: Server, megabytes: number) {
  const rows = (megabytes * MB) / 64
  const tensor = {
    shape: [1, 1, rows, 16],
    dtype: 'float32',
    base64: Buffer.alloc(rows * 64).toString('base64'),
  }
  return attention(server, {
    q: tensor,
    k: { shape: [1, 1, 1, 16], data: Array(16).fill(1) },
    v: { shape: [1, 1, 1, 16], data: Array(16).fill(1) },
    encoding: 'base64',
  })
}

describe('bodies that are announced', () => {
  it('take nothing while they have not come', async () => {
    const server = await startServer({ MEMORY_BYTES: String(64 * MB), MAX_BODY_BYTES: String(16 * MB) })
    const before = server.app.engine.arena.usedBytes
    const senders = Array.from({ length: 32 }, () => new Sender(server))
    for (const sender of senders) await sender.send(`${HEAD}content-length: ${16 * MB}\r\n\r\n{`)
    await wait(100)
    expect(server.app.engine.arena.usedBytes).toBe(before)
    await expectServed(server)
    expect((await middling(server, 4)).status).toBe(200)
    for (const { socket } of senders) socket.destroy()
    expect(await settled(server, before)).toBe(before)
  })

  it('that come all but whole cost their own client, and it is told', async () => {
    const server = await startServer({ MEMORY_BYTES: String(64 * MB), MAX_BODY_BYTES: String(16 * MB) })
    const before = server.app.engine.arena.usedBytes
    const senders = Array.from({ length: 6 }, () => new Sender(server, '127.0.0.2'))
    const most = Buffer.alloc(12 * MB, ' ')
    await Promise.all(senders.map(sender => sender.send(`${HEAD}content-length: ${16 * MB}\r\n\r\n`, most)))
    await expect.poll(() => senders.filter(({ answer }) => answer !== '').length, SOON).toBeGreaterThan(0)
    const refused = senders.filter(({ answer }) => answer !== '')
    for (const { answer, problem } of refused) {
      expect(answer).toMatch(/^HTTP\/1.1 503 [\s\S]*retry-after: 1/)
      expect(problem.code).toBe('BUSY')
    }
    // half of the memory is for what is on its way; a body that is being moved stands in it twice, until it has been
    await expect.poll(() => server.app.engine.arena.usedBytes - before, SOON).toBeLessThanOrEqual(32 * MB)
    await expectServed(server)
    // somebody else's is taken, whatever room the first client has
    for (let turn = 0; turn < 3; turn++) expect((await middling(server, 4)).status).toBe(200)
    for (const { socket } of senders) socket.destroy()
    expect(await settled(server, before)).toBe(before)
  })

  it('grow as they come, also where others stand in the way, and are read right', async () => {
    const server = await startServer({ MEMORY_BYTES: String(256 * MB) })
    const before = server.app.engine.arena.usedBytes
    const values = Float32Array.from({ length: 1.5 * MB }, (_, index) => (index % 251) / 251)
    const base64 = Buffer.from(values.buffer).toString('base64')
    const rows = values.length / 16
    const row = { shape: [1, 16], data: Array(16).fill(0) }
    const body = JSON.stringify({ q: row, k: row, v: { shape: [1, 16], data: Array(16).fill(1) } })
    // the same tensor as base64 and in chunks, three at a time: regions block each other's growth
    const x = { shape: [rows, 16], dtype: 'float32', base64 }
    const text = JSON.stringify({ q: row, k: x, v: x, return: ['logsumexp'] })
    const slowly = async (chunked: boolean) => {
      const sender = new Sender(server)
      const head = chunked ? 'transfer-encoding: chunked' : `content-length: ${text.length}`
      await sender.send(`${HEAD}connection: close\r\n${head}\r\n\r\n`)
      for (let at = 0; at < text.length; at += 300_001) {
        const piece = text.slice(at, at + 300_001)
        await sender.send(chunked ? `${piece.length.toString(16)}\r\n${piece}\r\n` : piece)
        await wait(1)
      }
      if (chunked) await sender.send('0\r\n\r\n')
      await sender.closed
      expect(sender.answer).toMatch(/^HTTP\/1.1 200 /)
      return sender.problem
    }
    const answers = await Promise.all([slowly(false), slowly(true), slowly(false), slowly(true)])
    for (const answer of answers) expect(answer).toEqual({ logsumexp: [expect.closeTo(Math.log(rows), 4)] })
    expect((await attention(server, body)).status).toBe(200)
    expect(await settled(server, before)).toBe(before)
  })
})

describe('bodies that are slow', () => {
  it('are given up after some seconds, whatever else they announced', async () => {
    const server = await startServer({ MEMORY_BYTES: String(64 * MB) })
    const before = server.app.engine.arena.usedBytes
    const senders = [100, 100_000, 10 * MB].map(length => {
      const sender = new Sender(server)
      void sender.send(`${HEAD}content-length: ${length}\r\n\r\n{`)
      return sender
    })
    const chunked = new Sender(server)
    void chunked.send(`${HEAD}transfer-encoding: chunked\r\n\r\n`)
    // one that keeps to the rate lives on
    const steady = new Sender(server)
    void steady.send(`${HEAD}content-length: ${10 * MB}\r\n\r\n`)
    const drip = setInterval(() => {
      for (const sender of senders) void sender.send(' ')
      void chunked.send('1\r\n \r\n')
      void steady.send(' '.repeat(3000))
    }, 100)
    await Promise.all([...senders, chunked].map(({ closed }) => closed))
    clearInterval(drip)
    for (const { answer, problem } of [...senders, chunked]) {
      expect(answer).toMatch(/^HTTP\/1.1 408 /)
      expect(problem).toMatchObject({ code: 'BODY_TIMEOUT' })
      expect(problem.detail).toMatch(/bytes a second/)
    }
    expect(steady.answer).toBe('')
    steady.socket.destroy()
    await expectServed(server)
    expect(await settled(server, before)).toBe(before)
  })
})

describe('messages that are not whole', () => {
  const fragment = (bytes: number) => [Buffer.alloc(bytes), { binary: true, fin: false }] as const

  it('cost the connection with the largest and oldest, not the others', async () => {
    const server = await startServer({ MEMORY_BYTES: String(32 * MB) })
    const open = () => StreamClient.open(server)
    const [largest, large, small] = [await open(), await open(), await open()]
    large.socket.send(...fragment(5 * MB))
    await wait(100)
    largest.socket.send(...fragment(8 * MB))
    await wait(100)
    small.socket.send(...fragment(2 * MB))
    await wait(100)
    small.socket.send(...fragment(2 * MB))
    await once(largest.socket, 'close')
    expect(largest.of('error')[0].problem).toMatchObject({ status: 503, code: 'BUSY' })
    expect([large, small].map(({ socket }) => socket.readyState)).toEqual([WebSocket.OPEN, WebSocket.OPEN])
    await expectServed(server)
    for (const { socket } of [large, small]) socket.terminate()
  })

  it('are given up like bodies: by BODY_SECONDS', async () => {
    const server = await startServer({ BODY_SECONDS: '0.5' })
    const client = await StreamClient.open(server)
    const idle = await StreamClient.open(server)
    idle.socket.ping()
    client.socket.send(...fragment(1000))
    const [code] = await once(client.socket, 'close')
    expect(code).toBe(1008)
    expect(client.of('error')[0].problem).toMatchObject({ status: 408, code: 'BODY_TIMEOUT' })
    // between messages there is no clock
    await wait(200)
    idle.send({ type: 'start', id: 'a', stack: { layers: 1, heads: 1, init: {} }, x: I })
    expect(await idle.ended('a')).toMatchObject({ type: 'done' })
    await idle.close()
  })

  it('are given up like bodies: by their rate', async () => {
    const server = await startServer()
    const client = await StreamClient.open(server)
    const drip = setInterval(() => client.socket.send(...fragment(1)), 200)
    await once(client.socket, 'close')
    clearInterval(drip)
    expect(client.of('error')[0].problem.detail).toMatch(/bytes a second/)
  })
})

describe('runs that wait for their client', () => {
  /** A run that takes about 9 MB (with 1024 rows 35 MB) and waits for a credit. */
  const held = (id: string, rows = 512) => {
    const values = Buffer.from(Float32Array.from({ length: rows * 8 }, (_, i) => Math.sin(i)).buffer)
    const x = { shape: [rows, 8], dtype: 'float32', base64: values.toString('base64') }
    const stack = { layers: 2, heads: 4, d_ff: 8, init: {} }
    return { type: 'start', id, stack, x, encoding: 'safetensors', credit: 0 }
  }
  const SETTINGS = { MEMORY_BYTES: String(128 * MB) }

  it('hold a share on one connection; the oldest gives way and is told why', async () => {
    const server = await startServer(SETTINGS)
    const before = server.app.engine.arena.usedBytes
    const client = await StreamClient.open(server)
    for (let run = 0; run < 12; run++) client.send(held(`run ${run}`))
    const ended = () => new Set(client.of('error').map(({ id }) => id))
    await client.until(() => ended().size === 11)
    const { problem } = client.of('error')[0]
    expect(problem).toMatchObject({ status: 408, code: 'CLIENT_IDLE' })
    expect(problem.detail).toMatch(/at most \d+ bytes on one connection .* gave way/)
    // an eighth of the memory
    await expect.poll(() => server.app.engine.arena.usedBytes - before, SOON).toBeLessThanOrEqual(16 * MB)
    await expectServed(server)
    // one may stay, the one that has waited for the shortest time
    const kept = client.of('accepted').find(({ id }) => !ended().has(id)).id
    client.acknowledge = true
    client.send({ type: 'credit', id: kept, add: 2 })
    expect(await client.ended(kept)).toMatchObject({ type: 'done' })
    await client.close()
    expect(await settled(server, before)).toBe(before)
  })

  it('hold a share on all connections; those of the client that holds most give way', async () => {
    const server = await startServer(SETTINGS)
    const before = server.app.engine.arena.usedBytes
    const clients = await Promise.all(Array.from({ length: 8 }, () => StreamClient.open(server, '127.0.0.2')))
    const other = await StreamClient.open(server)
    other.acknowledge = false
    other.send(held('other'))
    await other.until(({ type }) => type === 'accepted')
    await wait(200)
    for (const client of clients) client.send(held('a'))
    const first = await Promise.race(clients.map(each => each.ended('a')))
    await expectServed(server)
    expect(first).toMatchObject({ problem: { code: 'CLIENT_IDLE' } })
    // a quarter of the memory
    await expect.poll(() => server.app.engine.arena.usedBytes - before, SOON).toBeLessThanOrEqual(32 * MB)
    // it waited for longer than all of them, but its client holds least
    other.acknowledge = true
    other.send({ type: 'credit', id: 'other', add: 2 })
    expect(await other.ended('other')).toMatchObject({ type: 'done' })
    for (const { socket } of clients) socket.terminate()
    await other.close()
    expect(await settled(server, before)).toBe(before)
  })

  it('give way at once, nearly, where others need the memory', async () => {
    const server = await startServer(SETTINGS)
    const before = server.app.engine.arena.usedBytes
    const client = await StreamClient.open(server)
    for (let run = 0; run < 3; run++) client.send(held(`run ${run}`, 1024))
    await client.until(() => client.of('progress').length === 3)
    expect((await middling(server, 8)).status).toBe(200)
    expect(await client.until(({ type }) => type === 'error')).toMatchObject({
      problem: { code: 'CLIENT_IDLE' },
    })
    await client.close()
    expect(await settled(server, before)).toBe(before)
  })

  it('in the middle of a frame that nobody reads, give way with their connection', async () => {
    const server = await startServer(SETTINGS)
    const before = server.app.engine.arena.usedBytes
    const client = await StreamClient.open(server)
    client.socket.pause()
    for (let run = 0; run < 3; run++) client.send({ ...held(`run ${run}`, 1024), credit: 2 })
    await expect.poll(() => server.app.engine.arena.usedBytes - before, SOON).toBeGreaterThan(64 * MB)
    await expect.poll(() => server.app.engine.arena.usedBytes - before, SOON).toBeLessThanOrEqual(16 * MB)
    await expectServed(server)
    client.socket.terminate()
    expect(await settled(server, before)).toBe(before)
  })

  it('and those that are kept for `fetch` hold a share, too', async () => {
    const server = await startServer(SETTINGS)
    const before = server.app.engine.arena.usedBytes
    const client = await StreamClient.open(server)
    for (let run = 0; run < 5; run++) {
      client.send({ ...held(`run ${run}`), credit: 8, detail: { max_size: 8 } })
      expect(await client.ended(`run ${run}`)).toMatchObject({ type: 'done' })
    }
    await expect.poll(() => server.app.engine.arena.usedBytes - before, SOON).toBeLessThanOrEqual(16 * MB)
    await expectServed(server)
    client.send({ type: 'fetch', id: 'run 0', layer: 0, head: 0, tensor: 'weights' })
    const { problem } = await client.until(({ type }) => type === 'error')
    expect(problem).toMatchObject({ code: 'INVALID_REQUEST', errors: [{ path: '/id' }] })
    await client.close()
    expect(await settled(server, before)).toBe(before)
  })

  it('take RUN_SECONDS in all, kept ones too', async () => {
    const server = await startServer({ RUN_SECONDS: '5' })
    const before = server.app.engine.arena.usedBytes
    const client = await StreamClient.open(server)
    client.send(held('a'))
    client.send({ ...held('b'), credit: 8, detail: { max_size: 8 } })
    expect(await client.ended('b')).toMatchObject({ type: 'done' })
    expect(await client.ended('a')).toMatchObject({ problem: { status: 504, code: 'DEADLINE_EXCEEDED' } })
    expect(await settled(server, before)).toBe(before)
    await client.close()
  })
})

it('an upgrade of any other path is refused before the handshake', async () => {
  const server = await startServer()
  const key = Buffer.alloc(16).toString('base64')
  for (const path of ['/metrics', '/health/live', '/v1/attention', '/nothing', '/v1/stream/', '/']) {
    const sender = new Sender(server)
    await sender.send(
      `GET ${path} HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: ${key}\r\n\r\n`,
    )
    await sender.closed
    expect(sender.answer, path).toMatch(/^HTTP\/1.1 40[45] [\s\S]*application\/problem\+json/i)
    expect(sender.problem.code, path).toMatch(/^(NOT_FOUND|METHOD_NOT_ALLOWED)$/)
  }
  // none is counted as a request that is still open
  await server.app.drain()
})
