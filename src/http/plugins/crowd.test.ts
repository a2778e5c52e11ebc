/** What is refused at its head, over connections. */
import { createServer } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import pino from 'pino'
import { expect, it, onTestFinished } from 'vitest'
import { refuseAtHead } from './crowd.ts'
import { Metrics } from './observe.ts'

const lines: { refused: number }[] = []
const logger = pino({}, { write: (line: string) => void lines.push(JSON.parse(line)) })
const LONG = 3 << 20

/** A server that refuses all it may. */
async function refusing(leaving = false, origins: string[] = []) {
  const metrics = new Metrics()
  const refuse = refuseAtHead({ logger, metrics, lingerBytes: 64 << 20, origins, leaving: () => leaving })
  const server = createServer((message, response) => {
    if (!refuse(message, response)) response.end('{}')
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close().closeAllConnections())
  return { metrics, port: (server.address() as AddressInfo).port }
}

function caller(port: number) {
  const socket = connect({ port, host: '127.0.0.1' })
  onTestFinished(() => void socket.destroy())
  socket.on('error', () => {})
  const answers = { text: '', ended: false }
  socket.on('data', data => {
    answers.text += data
  })
  socket.on('close', () => {
    answers.ended = true
  })
  return { socket, answers }
}

const post = (path: string, length: number) =>
  `POST ${path} HTTP/1.1\r\nhost: x\r\nx-request-id: mine\r\ncontent-length: ${length}\r\n\r\n`

it('answers with a problem, counts and logs it, and keeps the connection', async () => {
  const { port, metrics } = await refusing()
  const { socket, answers } = caller(port)
  socket.write(`${post('/v1/attention', 2)}{}`)
  await expect.poll(() => answers.text).toMatch(/}$/)
  const [head, body] = answers.text.split('\r\n\r\n')
  expect(head).toMatch(/^HTTP\/1\.1 503 /)
  for (const line of ['content-type: application/problem+json', 'retry-after: 1', 'x-request-id: mine'])
    expect(head).toContain(line)
  expect(JSON.parse(body)).toMatchObject({ status: 503, code: 'BUSY', request_id: 'mine' })
  socket.write(`${post('/v2/models/attention/infer', 200_000)}${' '.repeat(200_000)}`)
  await expect.poll(() => answers.text.match(/HTTP\/1\.1 503/g)?.length).toBe(2)
  // clients of that protocol read `error`
  await expect.poll(() => answers.text).toMatch(/"error":"more requests[^}]*}$/)
  const told = await metrics.registry.metrics()
  expect(told).toContain('attention_requests_total{route="none",method="POST",status="503"} 2')
  expect(told).toContain('attention_problems_total{code="BUSY"} 2')
  expect(lines[0]).toMatchObject({ refused: 1, code: 'BUSY' })
})

it('answers before a long body has come, and ends the connection', async () => {
  const { port } = await refusing()
  const { socket, answers } = caller(port)
  socket.write(`${post('/v1/attention', LONG)}{`)
  await expect.poll(() => answers.text).toMatch(/connection: close[\s\S]*}$/i)
  await expect.poll(() => answers.ended, { timeout: 10_000 }).toBe(true)
})

it('takes in what a sender who reads nothing goes on to send', async () => {
  const { port } = await refusing()
  const { socket, answers } = caller(port)
  socket.pause()
  const sent = new Promise<void>(resolve => {
    socket.write(`${post('/v1/attention', LONG)}${' '.repeat(LONG)}`, () => resolve())
  })
  await sent
  socket.resume()
  await expect.poll(() => answers.text).toMatch(/^HTTP\/1\.1 503 [\s\S]*}$/)
})

it('leaves health and metrics alone, and all while the server leaves', async () => {
  for (const [leaving, path] of [
    [false, '/health/live'],
    [false, '/metrics'],
    [true, '/v1/attention'],
  ] as const) {
    const { port } = await refusing(leaving)
    const { socket, answers } = caller(port)
    socket.write(post(path, 0))
    await expect.poll(() => answers.text).toMatch(/^HTTP\/1\.1 200 /)
  }
})

it('lets pages of other origins read it, where they may read answers', async () => {
  const { port } = await refusing(false, ['https://app.example'])
  const headOf = async (origin: string) => {
    const { socket, answers } = caller(port)
    socket.write(`GET /v1/models HTTP/1.1\r\nhost: x\r\norigin: ${origin}\r\n\r\n`)
    await expect.poll(() => answers.text).toMatch(/}$/)
    return answers.text.split('\r\n\r\n')[0]
  }
  const mine = await headOf('https://app.example')
  expect(mine).toContain('access-control-allow-origin: https://app.example')
  expect(mine).toMatch(/access-control-expose-headers: .*retry-after/)
  const other = await headOf('https://other.example')
  expect(other).toContain('vary: Origin')
  expect(other).not.toContain('access-control-allow-origin')
  // a preflight is not refused
  const { socket, answers } = caller(port)
  socket.write('OPTIONS /v1/models HTTP/1.1\r\nhost: x\r\norigin: https://app.example\r\n\r\n')
  await expect.poll(() => answers.text).toMatch(/^HTTP\/1\.1 200 /)
})
