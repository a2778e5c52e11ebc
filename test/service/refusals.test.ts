/** Requests that are refused before their body is whole, and what never becomes a request: everybody can read the answer. */
import { once } from 'node:events'
import { Agent, request as httpRequest } from 'node:http'
import { connect, type Socket } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { attention, startServer } from './server.ts'

const server = await startServer({ LINGER_BYTES: String(8 << 20), MAX_BODY_BYTES: String(4 << 20) })
const { hostname, port } = new URL(server.url)
const ok = { q: [[1]], k: [[1]], v: [[1]] }
const MIB = 1 << 20

interface Refused {
  status: number
  text: string
}

/** Sends all of the body before it reads anything, as many clients and proxies do. */
async function sendAll(head: string, bytes: number, chunked = false): Promise<string> {
  const socket = connect(Number(port), hostname)
  socket.pause()
  await once(socket, 'connect')
  const length = chunked ? 'transfer-encoding: chunked' : `content-length: ${bytes}`
  await write(socket, `${head}\r\nhost: x\r\n${length}\r\n\r\n`)
  const piece = Buffer.alloc(64 << 10, 0x20)
  for (let sent = 0; sent < bytes; sent += piece.length) {
    if (chunked) await write(socket, `${piece.length.toString(16)}\r\n`)
    await write(socket, piece)
    if (chunked) await write(socket, '\r\n')
  }
  if (chunked) await write(socket, '0\r\n\r\n')
  let answer = ''
  socket.setEncoding('utf8')
  for await (const chunk of socket) {
    answer += chunk
    if (answer.includes('request_id')) break
  }
  socket.destroy()
  return answer
}

function write(socket: Socket, bytes: string | Buffer): Promise<void> {
  return new Promise((resolve, reject) => socket.write(bytes, error => (error ? reject(error) : resolve())))
}

describe('a large body that is not wanted', () => {
  it.each([
    ['a mistyped path', 'POST /v1/atention HTTP/1.1\r\ncontent-type: application/json', 404],
    ['a wrong content type', 'POST /v1/attention HTTP/1.1\r\ncontent-type: text/plain', 415],
    ['a wrong method', 'PUT /v1/attention HTTP/1.1\r\ncontent-type: application/json', 405],
    ['HTTP/1.0, as nginx speaks', 'POST /v1/atention HTTP/1.0\r\nconnection: close', 404],
    ['a connection that is to end', 'POST /v1/atention HTTP/1.1\r\nconnection: close', 404],
  ])('%s: the answer can be read behind it', async (_name, head, status) => {
    const answers = await Promise.all(Array.from({ length: 8 }, () => sendAll(head, 3 * MIB)))
    for (const answer of answers) {
      expect(answer).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `))
      expect(answer).toContain('application/problem+json')
    }
  })

  it('in chunks, too, and one that is too large as it comes', async () => {
    const head = 'POST /v1/atention HTTP/1.1\r\ncontent-type: application/json'
    expect(await sendAll(head, 3 * MIB, true)).toMatch(/^HTTP\/1\.1 404 /)
    expect(await sendAll(head.replace('atention', 'attention'), 6 * MIB, true)).toMatch(/^HTTP\/1\.1 413 /)
    expect(await sendAll(head.replace('atention', 'attention'), 6 * MIB)).toMatch(/^HTTP\/1\.1 413 /)
  })

  it('leaves the connection to the next request', async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    const send = (path: string, body: Buffer | string) =>
      new Promise<Refused & { local: number | undefined }>((resolve, reject) => {
        const headers = { 'content-type': 'application/json' }
        const message = httpRequest(
          { hostname, port, path, method: 'POST', agent, headers },
          async answer => {
            const local = message.socket?.localPort
            let text = ''
            for await (const chunk of answer) text += chunk
            resolve({ status: answer.statusCode ?? 0, text, local })
          },
        )
        message.on('error', reject)
        message.end(body)
      })
    const refused = await send('/v1/none', Buffer.alloc(2 * MIB, 0x20))
    const served = await send('/v1/attention', JSON.stringify(ok))
    agent.destroy()
    expect([refused.status, served.status]).toEqual([404, 200])
    expect(served.local).toBe(refused.local)
  })

  it('is taken in within bounds', async () => {
    const socket = connect(Number(port), hostname)
    const closed = new Promise(resolve => socket.once('close', resolve))
    // a reset is one way to be told
    socket.on('error', () => {})
    let answer = ''
    socket.setEncoding('utf8').on('data', chunk => {
      answer += chunk
    })
    await write(socket, `POST /v1/none HTTP/1.1\r\nhost: x\r\ncontent-length: ${1 << 30}\r\n\r\n`)
    const piece = Buffer.alloc(256 << 10)
    let sent = 0
    while (!socket.destroyed && sent < 1 << 30) {
      const more = await write(socket, piece).then(
        () => true,
        () => false,
      )
      if (!more) break
      sent += piece.length
    }
    await closed
    expect(answer).toMatch(/^HTTP\/1\.1 404 /)
    // what the server has taken, and what was on its way in the buffers of both
    expect(sent).toBeLessThan(48 * MIB)
    expect((await attention(server, ok)).status).toBe(200)
  })
})

describe('what never becomes a request', () => {
  const raw = async (text: string) => {
    const socket = connect(Number(port), hostname)
    socket.write(text)
    let answer = ''
    for await (const chunk of socket.setEncoding('utf8')) answer += chunk
    return answer
  }
  const lines = () => server.log.map(line => JSON.parse(line) as Record<string, unknown>)
  const counted = async (what: RegExp) => what.test(await (await fetch(`${server.url}/metrics`)).text())

  it('has a head of more than 16 kB: 431', async () => {
    const answer = await raw(`GET / HTTP/1.1\r\nhost: x\r\nx: ${'a'.repeat(20_000)}\r\n\r\n`)
    expect(answer).toMatch(/^HTTP\/1\.1 431 Request Header Fields Too Large/)
    expect(answer).toContain('HEADERS_TOO_LARGE')
  })

  it('is logged and counted, with the id that it was answered with', async () => {
    const answer = await raw('NONSENSE\r\n\r\n')
    expect(answer).toMatch(/^HTTP\/1\.1 400 Bad Request/)
    const id = /"request_id":"([^"]+)"/.exec(answer)?.[1]
    expect(answer).toContain(`x-request-id: ${id}`)
    expect(lines().find(({ reqId }) => reqId === id)).toMatchObject({ status: 400, code: 'BAD_HTTP' })
    expect(await counted(/attention_requests_total\{route="none",method="none",status="400"\} [1-9]/)).toBe(
      true,
    )
    expect(await counted(/attention_problems_total\{code="HEADERS_TOO_LARGE"\} 1/)).toBe(true)
  })

  it('a request whose client leaves is logged and counted as 499', async () => {
    const socket = connect(Number(port), hostname)
    const head =
      'POST /v1/attention HTTP/1.1\r\nhost: x\r\nx-request-id: left\r\ncontent-type: application/json\r\n'
    await write(socket, `${head}content-length: 5000\r\n\r\n{"q":`)
    await wait(50)
    socket.destroy()
    const line = () => lines().find(({ reqId }) => reqId === 'left')
    for (let tries = 0; line() === undefined && tries < 100; tries++) await wait(20)
    expect(line()).toMatchObject({ status: 499, code: 'CLIENT_CLOSED', route: '/v1/attention' })
    expect(lines().filter(({ reqId }) => reqId === 'left')).toHaveLength(1)
    expect(
      await counted(/attention_requests_total\{route="\/v1\/attention",method="POST",status="499"\} 1/),
    ).toBe(true)
  })
})

describe('a client that leaves', () => {
  it('when its body is whole is logged and counted as 499, once', async () => {
    const x = {
      shape: [1, 4, 2000, 16],
      dtype: 'float32',
      base64: Buffer.alloc(4 * 4 * 2000 * 16).toString('base64'),
    }
    const body = JSON.stringify({ q: x, k: x, v: x, precision: 'float64', return: ['entropy'] })
    const socket = connect(Number(port), hostname)
    const head =
      'POST /v1/attention HTTP/1.1\r\nhost: x\r\nx-request-id: whole\r\ncontent-type: application/json\r\n'
    await write(socket, `${head}content-length: ${body.length}\r\n\r\n${body}`)
    await expect.poll(() => server.app.engine.jobs).toBe(1)
    socket.destroy()
    const lines = () => server.log.map(line => JSON.parse(line)).filter(({ reqId }) => reqId === 'whole')
    await expect.poll(lines).toHaveLength(1)
    expect(lines()[0]).toMatchObject({ status: 499, code: 'CLIENT_CLOSED', route: '/v1/attention' })
    await expect.poll(() => server.app.engine.jobs).toBe(0)
    expect(lines()).toHaveLength(1)
  })

  it('from a stream is none of these', async () => {
    const before = server.log.length
    const { WebSocket } = await import('ws')
    const socket = new WebSocket(`${server.url.replace('http', 'ws')}/v1/stream`)
    await new Promise(resolve => socket.once('open', resolve))
    socket.terminate()
    await new Promise(resolve => socket.once('close', resolve))
    await attention(server, ok)
    expect(server.log.slice(before).join('')).not.toContain('"status":499')
  })
})

it('a server that leaves serves, tells its readiness, and ends each connection', async () => {
  const leaving = await startServer()
  leaving.app.leave()
  const ready = await fetch(`${leaving.url}/health/ready`)
  expect([ready.status, ready.headers.get('connection')]).toEqual([503, 'close'])
  const answer = await attention(leaving, ok)
  expect([answer.status, answer.headers.get('connection')]).toEqual([200, 'close'])
  const missing = await fetch(`${leaving.url}/v1/none`, { method: 'POST', body: Buffer.alloc(MIB) })
  expect([missing.status, missing.headers.get('connection')]).toEqual([404, 'close'])
})

it('connections are kept for longer than by those who send requests', () => {
  expect(server.app.fastify.server.keepAliveTimeout).toBe(130_000)
})
