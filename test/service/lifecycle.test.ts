import { type ChildProcess, spawn } from 'node:child_process'
import { connect } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { DIES, HANGS, SLEEP_MS, SLEEPS, THROWS } from './accidents.ts'
import { attention, post, settled, startServer } from './server.ts'

const workerFile = new URL('./faulty-worker.ts', import.meta.url)
const I = [
  [1, 0],
  [0, 1],
]
const ok = { q: I, k: I, v: I }
const wait = (ms: number) => new Promise(resolve => setTimeout(resolve, ms))

describe('a worker that fails', () => {
  it('by throwing, fails its request alone', async () => {
    const server = await startServer({}, { workerFile })
    const before = server.app.engine.arena.usedBytes
    const answer = await attention(server, { ...ok, scale: THROWS })
    expect(answer.body).toMatchObject({ status: 500, code: 'WORKER_LOST' })
    expect(JSON.stringify(answer.body)).not.toMatch(/\.ts|stack|TypeError/)
    expect((await attention(server, ok)).status).toBe(200)
    expect(await settled(server, before)).toBe(before)
  })

  it('by dying, fails its request alone, and is replaced', async () => {
    const server = await startServer({}, { workerFile })
    const before = server.app.engine.arena.usedBytes
    for (let round = 0; round < 3; round++) {
      const all = await Promise.all(
        Array.from({ length: 24 }, (_, i) =>
          attention(server, i === 5 ? { ...ok, scale: DIES } : { ...ok, scale: i }),
        ),
      )
      expect(all.map(({ status }) => status)).toEqual(all.map((_, i) => (i === 5 ? 500 : 200)))
      expect(all[5].body.code).toBe('WORKER_LOST')
    }
    // a large body is read by a worker too: that it waits behind the fatal task must not matter
    const large = { ...ok, mask: Array(2).fill(Array(2).fill(0)), scale: 1 }
    const text = JSON.stringify(large).replace('"scale"', `${' '.repeat(100_000)}"scale"`)
    const mixed = await Promise.all(
      Array.from({ length: 12 }, (_, i) => attention(server, i === 3 ? { ...ok, scale: DIES } : text)),
    )
    expect(mixed.map(({ status }) => status)).toEqual(mixed.map((_, i) => (i === 3 ? 500 : 200)))
    const metrics = await (await fetch(`${server.url}/metrics`)).text()
    expect(metrics).toMatch(/attention_worker_failures_total 4/)
    expect(await settled(server, before)).toBe(before)
  })
})

describe('a worker that hangs', () => {
  const ready = async (url: string) => {
    const response = await fetch(`${url}/health/ready`)
    return { code: response.status, ...((await response.json()) as { status: string; jobs: number }) }
  }

  it('is replaced once its job has been stopped; the server is not ready while none responds', async () => {
    const server = await startServer({ THREADS: '1', DEADLINE_SECONDS: '6' }, { workerFile })
    const before = server.app.engine.arena.usedBytes
    const hung = attention(server, { ...ok, scale: HANGS })
    while ((await ready(server.url)).code === 200) await wait(20)
    expect(await ready(server.url)).toMatchObject({ code: 503, status: 'unavailable', jobs: 1 })
    const { body } = await attention(server, ok)
    expect(body).toMatchObject({ status: 503, code: 'BUSY', detail: 'no worker responds' })
    expect((await hung).body).toMatchObject({ status: 504, code: 'DEADLINE_EXCEEDED' })
    expect(server.log.filter(line => line.includes('a worker did not poll for'))).toHaveLength(1)
    while ((await ready(server.url)).code !== 200) await wait(20)
    expect((await attention(server, ok)).status).toBe(200)
    expect(await settled(server, before)).toBe(before)
  })

  it('is replaced when its client has left, and what waited behind it is answered', async () => {
    const server = await startServer({ THREADS: '1' }, { workerFile })
    const before = server.app.engine.arena.usedBytes
    const left = new AbortController()
    const hung = fetch(`${server.url}/v1/attention`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ ...ok, scale: HANGS }),
      signal: left.signal,
    }).catch(() => {})
    while (server.app.engine.jobs === 0) await wait(5)
    const behind = Promise.all(Array.from({ length: 8 }, () => attention(server, ok)))
    while (server.app.engine.jobs < 9) await wait(5)
    left.abort()
    await hung
    for (const { status } of await behind) expect(status).toBe(200)
    expect(await settled(server, before)).toBe(before)
  })

  it('does not hold up the end of the server', async () => {
    const server = await startServer({}, { workerFile })
    void attention(server, { ...ok, scale: HANGS }).catch(() => {})
    while (server.app.engine.jobs === 0) await wait(5)
    await server.app.engine.close()
  })
})

describe('time', () => {
  it('past the deadline is a 504, and the memory is free again', async () => {
    const server = await startServer({ DEADLINE_SECONDS: '0.1' }, { workerFile })
    const before = server.app.engine.arena.usedBytes
    const answer = await attention(server, { ...ok, scale: SLEEPS })
    expect(answer.body).toMatchObject({ status: 504, code: 'DEADLINE_EXCEEDED' })
    expect(await settled(server, before)).toBe(before)
    expect((await attention(server, ok)).status).toBe(200)
  })

  it('a client that leaves stops its work between tasks', async () => {
    const server = await startServer({ MEMORY_BYTES: String(1 << 30) })
    const before = server.app.engine.arena.usedBytes
    const rows = {
      shape: [1, 8, 24_000, 8],
      dtype: 'float32',
      base64: Buffer.alloc(8 * 24_000 * 8 * 4).toString('base64'),
    }
    const left = new AbortController()
    const request = fetch(`${server.url}/v1/attention`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ q: rows, k: rows, v: rows, precision: 'float64' }),
      signal: left.signal,
    })
    request.catch(() => {})
    while (server.app.engine.jobs === 0) await wait(5)
    await wait(50)
    left.abort()
    // the whole of it takes minutes, longer than this test may; what is in flight takes milliseconds
    while (server.app.engine.jobs > 0) await wait(5)
    expect(await settled(server, before)).toBe(before)
  })

  it('a small request does not wait for a large one', async () => {
    const server = await startServer({ MEMORY_BYTES: String(1 << 30) })
    const rows = {
      shape: [1, 4, 1200, 32],
      dtype: 'float32',
      base64: Buffer.alloc(4 * 1200 * 32 * 4).toString('base64'),
    }
    let ended = false
    const large = attention(server, {
      q: rows,
      k: rows,
      v: rows,
      precision: 'float64',
      encoding: 'base64',
    }).then(answer => {
      ended = true
      return answer
    })
    while (server.app.engine.jobs === 0) await wait(5)
    for (let turn = 0; turn < 5; turn++) expect((await attention(server, ok)).status).toBe(200)
    expect(ended).toBe(false)
    expect((await large).status).toBe(200)
  })

  it('says where it went', async () => {
    const server = await startServer({}, { workerFile })
    const { headers } = await attention(server, { ...ok, scale: SLEEPS })
    const text = headers.get('server-timing') ?? ''
    expect(text).toMatch(/^decode;dur=[\d.]+, queue;dur=[\d.]+, compute;dur=[\d.]+, encode;dur=[\d.]+$/)
    const [decode, queue, compute, encode] = text.matchAll(/dur=([\d.]+)/g).map(([, ms]) => Number(ms))
    // the worker slept before it began
    expect(queue).toBeGreaterThan(SLEEP_MS / 2)
    for (const ms of [decode, compute, encode]) expect(ms).toBeGreaterThan(0)
  })
})

describe('too much at once', () => {
  it('is a 503 with Retry-After, by work and by memory', async () => {
    const server = await startServer({ THREADS: '1', QUEUE_SECONDS: '0.001', MEMORY_BYTES: String(40 << 20) })
    const before = server.app.engine.arena.usedBytes
    const rows = {
      shape: [1, 1, 2000, 16],
      dtype: 'float32',
      base64: Buffer.alloc(2000 * 16 * 4).toString('base64'),
    }
    const request = { q: rows, k: rows, v: rows, precision: 'float64', encoding: 'base64' }
    const all = await Promise.all(Array.from({ length: 6 }, () => attention(server, request)))
    const busy = all.filter(({ status }) => status === 503)
    expect(all.every(({ status }) => status === 200 || status === 503)).toBe(true)
    expect(busy.length).toBeGreaterThan(0)
    expect(busy[0].body.code).toBe('BUSY')
    expect(Number(busy[0].headers.get('retry-after'))).toBeGreaterThanOrEqual(1)
    expect(await settled(server, before)).toBe(before)
  })

  it('slow clients that stop reading do not lose others their memory for good', async () => {
    const server = await startServer()
    const before = server.app.engine.arena.usedBytes
    const rows = { shape: [1, 1, 1500, 2], data: Array(3000).fill(0.5) }
    const body = JSON.stringify({ q: rows, k: rows, v: rows, return: ['weights', 'scores'] })
    const sockets = Array.from({ length: 3 }, () => {
      const socket = connect(Number(new URL(server.url).port), '127.0.0.1')
      socket.write(
        `POST /v1/attention HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
      )
      socket.pause()
      return socket
    })
    await wait(500)
    expect((await attention(server, ok)).status).toBe(200)
    for (const socket of sockets) socket.destroy()
    expect(await settled(server, before)).toBe(before)
  })

  it('an answer that is not read is given up at the deadline', async () => {
    const server = await startServer({ DEADLINE_SECONDS: '1' })
    const before = server.app.engine.arena.usedBytes
    const rows = { shape: [1, 1, 1500, 2], dtype: 'float32', base64: Buffer.alloc(12_000).toString('base64') }
    const body = JSON.stringify({ q: rows, k: rows, v: rows, return: ['weights', 'scores', 'masked_scores'] })
    const head = `POST /v1/attention HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\naccept: application/x-safetensors`
    const socket = connect(Number(new URL(server.url).port), '127.0.0.1')
    socket.on('error', () => {})
    socket.write(`${head}\r\ncontent-length: ${body.length}\r\n\r\n${body}`)
    socket.pause()
    await wait(600)
    expect(server.app.engine.arena.usedBytes).toBeGreaterThan(before)
    await wait(900)
    expect(await settled(server, before)).toBe(before)
    socket.destroy()
  })

  it('bodies that never end are given up with their connection', async () => {
    const server = await startServer()
    const before = server.app.engine.arena.usedBytes
    const socket = connect(Number(new URL(server.url).port), '127.0.0.1')
    socket.write(
      'POST /v1/attention HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{"q":',
    )
    await wait(50)
    socket.destroy()
    expect(await settled(server, before)).toBe(before)
    expect((await attention(server, ok)).status).toBe(200)
  })
})

describe('SIGTERM', () => {
  let child: ChildProcess | undefined
  afterEach(() => {
    child?.kill('SIGKILL')
  })

  /** A service as a process of its own. */
  async function start(delay = 0) {
    const main = new URL('../../src/main.ts', import.meta.url).pathname
    const own = spawn(process.execPath, [main], {
      env: { ...process.env, PORT: '0', THREADS: '1', SHUTDOWN_DELAY_SECONDS: String(delay) },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    child = own
    const exited = new Promise(resolve => own.once('exit', (code, signal) => resolve(code ?? signal)))
    const port = await new Promise<string>(resolve => {
      own.stdout.on('data', data => {
        const found = /listening at http:\/\/127\.0\.0\.1:(\d+)/.exec(String(data))
        if (found) resolve(found[1])
      })
    })
    const server = { url: `http://127.0.0.1:${port}` } as Parameters<typeof attention>[0]
    return { child: own, exited, server }
  }

  it('ends the service also where nobody reads its log', async () => {
    const { child, exited, server } = await start()
    child.stdout.removeAllListeners('data').pause()
    // more than a pipe holds
    for (let request = 0; request < 800; request++) await fetch(`${server.url}/v1/none`)
    expect((await attention(server, ok)).status).toBe(200)
    child.kill('SIGTERM')
    expect(await exited).toBe('SIGKILL')
  })

  it('serves on for a while, with readiness gone, until a second signal', async () => {
    const { child, exited, server } = await start(600)
    child.kill('SIGTERM')
    const ready = async () => (await fetch(`${server.url}/health/ready`)).status
    while ((await ready()) === 200) await wait(5)
    const served = await attention(server, ok)
    expect([served.status, served.headers.get('connection')]).toEqual([200, 'close'])
    child.kill('SIGTERM')
    expect(await exited).toBe(0)
  })

  it('drains: readiness first, accepted work answered, exit 0', async () => {
    const { child, exited, server } = await start()
    const rows = {
      shape: [1, 1, 2500, 32],
      dtype: 'float32',
      base64: Buffer.alloc(2500 * 32 * 4).toString('base64'),
    }
    const accepted = post(server, '/v1/attention', {
      q: rows,
      k: rows,
      v: rows,
      precision: 'float64',
      encoding: 'base64',
    })
    const jobs = async () =>
      ((await (await fetch(`${server.url}/health/ready`)).json()) as { jobs: number }).jobs
    while ((await jobs()) === 0) await wait(5)
    child.kill('SIGTERM')
    const ready = async () => (await fetch(`${server.url}/health/ready`)).status
    // the work that was accepted takes longer than a signal: readiness goes while it is under way
    while ((await ready()) === 200) await wait(5)
    expect(await ready()).toBe(503)
    const refused = await attention(server, ok)
    expect(refused.body.code).toBe('DRAINING')
    expect(refused.headers.get('connection')).toBe('close')
    expect((await fetch(`${server.url}/health/live`)).status).toBe(200)
    const answer = await accepted
    expect(answer.status).toBe(200)
    expect(answer.body.output.shape).toEqual([1, 1, 2500, 32])
    expect(await exited).toBe(0)
  })
})
