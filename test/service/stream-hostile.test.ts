/** `GET /v1/stream` and clients that misbehave: the connection, the others and the memory outlive them. */
import { once } from 'node:events'
import { connect } from 'node:net'
import { describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { DIES, SLEEPS } from './accidents.ts'
import { attention, post, type Server, settled, startServer } from './server.ts'
import { StreamClient } from './stream-client.ts'

const workerFile = new URL('./faulty-worker.ts', import.meta.url)
const I = [
  [1, 0],
  [0, 1],
]
const tiny = { q: I, k: I, v: I }
const stack = { layers: 3, heads: 2, init: {} }
const x = [
  [1, 2],
  [3, 4],
]
const start = { type: 'start', id: 'a', stack, x }
const wait = (ms: number) => new Promise(resolve => setTimeout(resolve, ms))

/** A stack whose maps are large: 8 heads of n × n a layer. */
function large(n: number, layers = 4) {
  const bytes = Buffer.from(Float32Array.from({ length: n * 16 }, (_, i) => Math.sin(i)).buffer)
  return {
    stack: { layers, heads: 8, d_ff: 16, init: {} },
    x: { shape: [n, 16], dtype: 'float32', base64: bytes.toString('base64') },
    encoding: 'safetensors',
  }
}

/** A run to its end on a connection that has seen much: it lives. */
async function expectAlive(client: StreamClient): Promise<void> {
  client.send({ ...start, id: 'alive' })
  expect(await client.ended('alive')).toMatchObject({ type: 'done' })
}

async function metric(server: Server, name: string): Promise<number> {
  const text = await (await fetch(`${server.url}/metrics`)).text()
  return Number(new RegExp(`^${name} (\\d+)`, 'm').exec(text)?.[1] ?? 0)
}

describe('messages that are wrong', () => {
  const wrong: [string, string | object, string, string | undefined][] = [
    ['no JSON', 'garbage', 'INVALID_JSON', ''],
    ['nothing', '', 'INVALID_JSON', ''],
    ['a number', '7', 'INVALID_REQUEST', ''],
    ['an array', '[{"type":"start"}]', 'INVALID_REQUEST', ''],
    ['no type', {}, 'INVALID_REQUEST', '/type'],
    ['an unknown type', { type: 'stop', id: 'a' }, 'INVALID_REQUEST', '/type'],
    ['a type like a method', { type: 'toString' }, 'INVALID_REQUEST', '/type'],
    ['a start without x', { type: 'start', id: 'a', stack }, 'INVALID_REQUEST', '/x'],
    ['a start without an id', { type: 'start', stack, x }, 'INVALID_REQUEST', '/id'],
    ['an id that is too long', { ...start, id: 'a'.repeat(129) }, 'INVALID_REQUEST', '/id'],
    ['an unknown field', { ...start, emits: [] }, 'INVALID_REQUEST', '/emits'],
    ['an unknown tensor', { ...start, emit: ['values'] }, 'INVALID_REQUEST', '/emit/0'],
    ['a gradient of a forward pass', { ...start, emit: ['grad_output'] }, 'INVALID_REQUEST', '/emit/0'],
    ['backward in a forward pass', { ...start, backward: { target: x } }, 'INVALID_REQUEST', '/pass'],
    ['a backward pass of nothing', { ...start, pass: 'forward_backward' }, 'INVALID_REQUEST', '/backward'],
    ['a layer that is not there', { ...start, layers: [3] }, 'INVALID_REQUEST', '/layers/0'],
    ['a head twice', { ...start, heads: [1, 1] }, 'INVALID_REQUEST', '/heads'],
    ['heads that are text', { ...start, heads: ['0'] }, 'INVALID_REQUEST', '/heads/0'],
    ['a head that is null', { ...start, heads: [null, 1] }, 'INVALID_REQUEST', '/heads/0'],
    ['a head between two', { ...start, heads: [0, 0.5] }, 'INVALID_REQUEST', '/heads/1'],
    [
      'a shape that does not fit',
      { ...start, stack: { ...stack, heads: 5 } },
      'INVALID_REQUEST',
      '/stack/heads',
    ],
    ['a number that is none', { ...start, x: [[1, 'NaN']] }, 'NON_FINITE', '/x/0/1'],
    ['weights of linear attention', { ...start, attention_kind: 'linear' }, 'INVALID_REQUEST', '/emit/0'],
    ['credit for no run', { type: 'credit', id: 'x', add: 1 }, 'INVALID_REQUEST', '/id'],
    ['no credit at all', { type: 'credit', id: 'x', add: 0 }, 'INVALID_REQUEST', '/add'],
    ['the end of no run', { type: 'cancel', id: 'x' }, 'INVALID_REQUEST', '/id'],
    [
      'a map of no run',
      { type: 'fetch', id: 'x', layer: 0, head: 0, tensor: 'weights' },
      'INVALID_REQUEST',
      '/id',
    ],
  ]

  it('get an error that names the field, and the connection lives on', async () => {
    const server = await startServer()
    const before = server.app.engine.arena.usedBytes
    const client = await StreamClient.open(server)
    for (const [what, message, code, path] of wrong) {
      const known = client.of('error').length
      client.send(message)
      await client.until(() => client.of('error').length > known)
      const { id, problem } = client.of('error')[known]
      expect(problem, what).toMatchObject({ code, errors: [{ path }] })
      // the id of a run that was to be started, and of no other
      const starts = typeof message === 'object' && (message as { type?: string }).type === 'start'
      const given = (message as { id?: string }).id
      expect(id, what).toBe(starts && given !== undefined && given.length < 129 ? 'a' : undefined)
    }
    await expectAlive(client)
    expect(await settled(server, before)).toBe(before)
    await client.close()
  })

  it('as binary: what is no safetensors file, or has no message in it', async () => {
    const server = await startServer()
    const client = await StreamClient.open(server)
    for (const bytes of ['', 'x', '\xff'.repeat(100), '\x02\0\0\0\0\0\0\0{}']) {
      const known = client.of('error').length
      client.socket.send(Buffer.from(bytes, 'latin1'))
      await client.until(() => client.of('error').length > known)
      expect(client.of('error')[known].problem.code).toMatch(/^INVALID_(SAFETENSORS|REQUEST)$/)
    }
    await expectAlive(client)
    await client.close()
  })

  it('a second run of one id is refused, and the first goes on', async () => {
    const server = await startServer()
    const client = await StreamClient.open(server)
    client.acknowledge = false
    client.send({ ...start, credit: 1 })
    await client.until(({ type }) => type === 'layer')
    client.send(start)
    const { id, problem } = await client.until(({ type }) => type === 'error')
    expect(id).toBeUndefined()
    expect(problem.errors[0].path).toBe('/id')
    client.send({ type: 'credit', id: 'a', add: 5 })
    expect(await client.ended('a')).toMatchObject({ type: 'done' })
    expect(client.of('layer')).toHaveLength(3)
    await client.close()
  })

  it('too large: an error, and the connection is closed', async () => {
    const server = await startServer({ MAX_BODY_BYTES: '100000' })
    const client = await StreamClient.open(server)
    client.send(' '.repeat(100_001))
    const [code] = await once(client.socket, 'close')
    expect(code).toBe(1009)
    expect(client.of('error')[0].problem).toMatchObject({ status: 413, code: 'BODY_TOO_LARGE' })
    const other = await StreamClient.open(server)
    await expectAlive(other)
    await other.close()
  })

  it('that are no frames: an error, and the connection is closed', async () => {
    const server = await startServer()
    for (const bytes of ['\xf1\x80\0\0\0\0', '\x81\x02ab', '\x83\x80\0\0\0\0', '\x81\x82\0\0\0\0\xff\xff']) {
      const socket = connect(Number(new URL(server.url).port), '127.0.0.1')
      const key = Buffer.alloc(16).toString('base64')
      socket.write(
        `GET /v1/stream HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: ${key}\r\n\r\n`,
      )
      await once(socket, 'data')
      let text = ''
      socket.on('data', data => {
        text += data.toString('latin1')
      })
      socket.write(Buffer.from(bytes, 'latin1'))
      await once(socket, 'end')
      socket.destroy()
      expect(text).toMatch(/"type":"error".*"code":"(BAD_HTTP|INVALID_JSON)"/)
    }
    const other = await StreamClient.open(server)
    await expectAlive(other)
    await other.close()
  })

  it('that never end are bounded over all connections', async () => {
    const server = await startServer({ MEMORY_BYTES: String(16 << 20) })
    const sockets = await Promise.all(Array.from({ length: 3 }, () => StreamClient.open(server)))
    for (const { socket } of sockets) socket.send(Buffer.alloc(4 << 20), { binary: true, fin: false })
    await Promise.race(sockets.map(({ socket }) => once(socket, 'close')))
    const told = sockets.flatMap(client => client.of('error'))
    expect(told[0].problem).toMatchObject({ status: 503, code: 'BUSY' })
    expect(sockets.some(({ socket }) => socket.readyState === WebSocket.OPEN)).toBe(true)
    for (const { socket } of sockets) socket.terminate()
    const other = await StreamClient.open(server)
    await expectAlive(other)
    await other.close()
  })
})

describe('runs that are too much', () => {
  it('are refused like requests, each by itself', async () => {
    const server = await startServer({ MEMORY_BYTES: String(64 << 20), MAX_FLOPS: '1e7' })
    const client = await StreamClient.open(server)
    const flops = { ...large(200, 20), type: 'start', id: 'flops', emit: [] }
    const memory = { ...large(100, 1), type: 'start', id: 'memory', detail: { max_size: 8 } }
    client.send(flops)
    client.send({ ...memory, x: { shape: [40, 100, 16], data: Array(64_000).fill(0.5) } })
    expect(await client.ended('flops')).toMatchObject({ problem: { status: 413, code: 'COMPUTE_TOO_LARGE' } })
    expect(await client.ended('memory')).toMatchObject({ problem: { status: 413 } })
    await expectAlive(client)
    await client.close()
  })

  it('on one connection: a number at once, and no more', async () => {
    const server = await startServer()
    const before = server.app.engine.arena.usedBytes
    const client = await StreamClient.open(server)
    for (let i = 0; i < 33; i++) client.send({ ...start, id: `run ${i}`, credit: 0 })
    expect(await client.ended('run 32')).toMatchObject({ problem: { status: 429, code: 'TOO_MANY' } })
    await client.close()
    expect(await settled(server, before)).toBe(before)
  })
})

describe('clients that do not read', () => {
  it('or never give credit hold no worker, and their memory until they leave', async () => {
    const server = await startServer()
    const before = server.app.engine.arena.usedBytes
    const clients = await Promise.all(Array.from({ length: 8 }, () => StreamClient.open(server)))
    for (const client of clients) {
      client.acknowledge = false
      for (const id of ['a', 'b', 'c']) client.send({ ...start, id, credit: 1 })
    }
    await Promise.all(clients.map(client => client.until(() => client.of('progress').length === 6)))
    while (server.app.engine.backlogSeconds > 1e-9) await wait(20)
    for (let turn = 0; turn < 5; turn++) expect((await attention(server, tiny)).status).toBe(200)
    for (const client of clients) client.socket.terminate()
    expect(await settled(server, before)).toBe(before)
    expect(server.app.engine.jobs).toBe(0)
  })

  it('are sent no more than the socket takes', async () => {
    const server = await startServer()
    const before = server.app.engine.arena.usedBytes
    const client = await StreamClient.open(server)
    client.send({ ...large(700, 12), type: 'start', id: 'a', credit: 12 })
    await client.until(({ type }) => type === 'accepted')
    client.socket.pause()
    // the first frames go into the socket's own memory, then the run is held
    for (let still = 0; still < 5; still = server.app.engine.backlogSeconds < 1e-9 ? still + 1 : 0)
      await wait(100)
    // of 12 frames of 16 MB each two are there at most: one on its way, one complete
    expect(server.app.engine.jobs).toBe(1)
    expect(server.app.engine.arena.usedBytes - before).toBeLessThan(80 << 20)
    for (const socket of server.app.fastify.websocketServer.clients) {
      expect(socket.bufferedAmount).toBeLessThan(2 << 20)
    }
    expect((await attention(server, tiny)).status).toBe(200)
    client.socket.resume()
    expect(await client.ended('a')).toMatchObject({ type: 'done' })
    expect(client.of('layer')).toHaveLength(12)
    await client.close()
    expect(await settled(server, before)).toBe(before)
  })

  it('are given up after a while', async () => {
    const server = await startServer({ STREAM_IDLE_SECONDS: '1' })
    const before = server.app.engine.arena.usedBytes
    const client = await StreamClient.open(server)
    client.send({ ...start, credit: 0 })
    expect(await client.ended('a')).toMatchObject({ problem: { status: 408, code: 'CLIENT_IDLE' } })
    client.send({ ...start, id: 'b', detail: {} })
    expect(await client.ended('b')).toMatchObject({ type: 'done' })
    expect(server.app.engine.arena.usedBytes).toBeGreaterThan(before)
    expect(await settled(server, before)).toBe(before)
    const stuck = await StreamClient.open(server)
    stuck.send({ ...large(700), type: 'start', id: 'a' })
    await stuck.until(({ type }) => type === 'accepted')
    stuck.socket.pause()
    await wait(100)
    while (server.app.engine.jobs > 0) await wait(20)
    expect(await settled(server, before)).toBe(before)
    stuck.socket.terminate()
    await expectAlive(client)
    await client.close()
  })

  it('but ask without end are not listened to', async () => {
    const server = await startServer()
    const client = await StreamClient.open(server)
    client.socket.pause()
    const garbage = 'x'.repeat(1000)
    for (let i = 0; i < 20_000; i++) client.socket.send(garbage)
    await wait(500)
    // what the server does not read stays with the client
    expect(client.socket.bufferedAmount).toBeGreaterThan(0)
    client.socket.terminate()
    const other = await StreamClient.open(server)
    await expectAlive(other)
    await other.close()
  })
})

describe('connections', () => {
  it('that end in the middle of a run leave nothing', async () => {
    const server = await startServer()
    const before = server.app.engine.arena.usedBytes
    const client = await StreamClient.open(server)
    const run = { ...large(600, 40), precision: 'float64', pass: 'forward_backward' }
    client.send({ ...run, type: 'start', id: 'a', backward: { target: run.x } })
    await client.until(({ type }) => type === 'layer')
    expect(server.app.engine.jobs).toBeGreaterThan(0)
    const left = performance.now()
    client.socket.terminate()
    expect(await settled(server, before)).toBe(before)
    expect(server.app.engine.jobs).toBe(0)
    // the whole takes many seconds
    expect(performance.now() - left).toBeLessThan(2000)
  })

  it('may be two hundred, each with runs', async () => {
    const server = await startServer()
    const before = server.app.engine.arena.usedBytes
    const clients = await Promise.all(Array.from({ length: 200 }, () => StreamClient.open(server)))
    expect(await metric(server, 'attention_stream_connections')).toBe(200)
    for (const client of clients) for (const id of ['a', 'b']) client.send({ ...start, id })
    const ends = await Promise.all(clients.flatMap(client => [client.ended('a'), client.ended('b')]))
    expect(ends.filter(({ type }) => type === 'done')).toHaveLength(400)
    for (const client of clients) {
      expect(client.of('layer', 'a').map(({ index }) => index)).toEqual([0, 1, 2])
      expect(client.of('layer', 'b').map(({ index }) => index)).toEqual([0, 1, 2])
    }
    await Promise.all(clients.map(client => client.close()))
    expect(await settled(server, before)).toBe(before)
    expect(await metric(server, 'attention_stream_connections')).toBe(0)
    expect(
      await metric(server, 'attention_stream_runs_total{outcome="done"}'.replace(/[{}"]/g, '\\$&')),
    ).toBe(400)
  })

  it('a plain GET is told what the resource is', async () => {
    const server = await startServer()
    const response = await fetch(`${server.url}/v1/stream`)
    expect(response.status).toBe(426)
    expect(await response.json()).toMatchObject({ code: 'UPGRADE_REQUIRED' })
    expect((await post(server, '/v1/stream', {})).body.code).toBe('METHOD_NOT_ALLOWED')
  })

  it('are told when the server goes, keep their runs, and are closed', async () => {
    const server = await startServer()
    const [idle, busy] = [await StreamClient.open(server), await StreamClient.open(server)]
    busy.acknowledge = false
    busy.send({ ...start, credit: 1 })
    await busy.until(({ type }) => type === 'layer')
    const left = once(idle.socket, 'close')
    const drained = server.app.drain()
    expect((await left)[0]).toBe(1001)
    expect(idle.of('going_away')).toHaveLength(1)
    const { resume } = await busy.until(({ type }) => type === 'going_away')
    expect(resume).toEqual([{ id: 'a', pass: 'forward', from_layer: 1 }])
    expect(idle.of('going_away')[0].resume).toBeUndefined()
    busy.send({ ...start, id: 'b' })
    expect(await busy.ended('b')).toMatchObject({ problem: { status: 503, code: 'DRAINING' } })
    await expect(StreamClient.open(server)).rejects.toThrow('503')
    const closed = once(busy.socket, 'close')
    busy.send({ type: 'credit', id: 'a', add: 5 })
    expect(await busy.ended('a')).toMatchObject({ type: 'done' })
    expect((await closed)[0]).toBe(1001)
    await drained
  })
})

describe('accidents', () => {
  it('a worker that dies fails its runs, not their connection', async () => {
    const server = await startServer({}, { workerFile })
    const before = server.app.engine.arena.usedBytes
    const client = await StreamClient.open(server)
    client.send({ ...start, scale: DIES })
    expect(await client.ended('a')).toMatchObject({ problem: { status: 500, code: 'WORKER_LOST' } })
    await expectAlive(client)
    expect(await settled(server, before)).toBe(before)
    await client.close()
  })

  it('the deadline is on computing, not on waiting for the client', async () => {
    const server = await startServer({ DEADLINE_SECONDS: '1.5' }, { workerFile })
    // workers need a while to start
    while ((await attention(server, tiny)).status !== 200) await wait(50)
    const client = await StreamClient.open(server)
    client.acknowledge = false
    client.send({ ...start, credit: 1 })
    await client.until(({ type }) => type === 'layer')
    await wait(2000)
    client.send({ type: 'credit', id: 'a', add: 5 })
    expect(await client.ended('a')).toMatchObject({ type: 'done' })
    client.send({ ...start, id: 'b', credit: 5, scale: SLEEPS, stack: { ...stack, layers: 9 } })
    expect(await client.ended('b')).toMatchObject({ problem: { status: 504, code: 'DEADLINE_EXCEEDED' } })
    await client.close()
  })
})
