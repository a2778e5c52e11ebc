/** What clients of other languages send by habit: upgrades that are none, byte order marks, methods, lists of nothing, metadata. */
import { connect } from 'node:net'
import { describe, expect, it } from 'vitest'
import { float32, writeFile } from './safetensors-file.ts'
import { attention, JSON_TYPE, SAFETENSORS_TYPE, startServer } from './server.ts'

const server = await startServer()
const path = '/v1/attention'
const one = { q: [[1, 0]], k: [[1, 0]], v: [[1, 2]] }
const body = JSON.stringify(one)

/** The answers to raw HTTP, the second sent once the first is there, read until the server has closed the connection. */
function raw(text: string, second = ''): Promise<string> {
  const { hostname, port } = new URL(server.url)
  return new Promise((resolve, reject) => {
    let answer = ''
    const socket = connect(Number(port), hostname, () => socket.write(text))
    socket.setEncoding('utf8')
    socket.on('data', chunk => {
      if (answer === '') socket.write(second)
      answer += chunk
    })
    socket.on('end', () => resolve(answer))
    socket.on('error', reject)
  })
}

describe('an upgrade to something else is ignored', () => {
  const length = `content-type: application/json\r\ncontent-length: ${body.length}\r\n`
  it.each([
    [
      'h2c, as Java’s HttpClient asks for it',
      'Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAEAAEAAAAIAAAAB\r\nUpgrade: h2c',
    ],
    ['TLS', 'Connection: Upgrade\r\nUpgrade: TLS/1.0'],
    ['anything', 'Connection: upgrade\r\nUpgrade: something/2, else'],
  ])('%s', async (_name, headers) => {
    const second = 'GET /health/live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n'
    const first = `POST ${path} HTTP/1.1\r\nhost: x\r\n${headers}\r\n${length}\r\n${body}`
    const answer = await raw(first, second)
    expect(answer).toMatch(/^HTTP\/1\.1 200 OK/)
    expect(answer).toContain('{"output":[[1,2]]}')
    expect(answer.match(/HTTP\/1\.1 200/g)).toHaveLength(2)
  })

  const plain = (id: string, more = '') =>
    `GET /health/live HTTP/1.1\r\nhost: x\r\nx-request-id: ${id}\r\n${more}\r\n`
  const asks = 'connection: upgrade\r\nupgrade: h2c\r\n'
  const posted = (id: string) =>
    `POST ${path} HTTP/1.1\r\nhost: x\r\nx-request-id: ${id}\r\n${asks}${length}\r\n${body}`
  const last = plain('last', 'connection: close\r\n')
  it.each([
    ['a request', plain('a', asks) + last, 2],
    ['one with a body', posted('a') + last, 2],
    ['many that all ask', plain('a') + posted('b') + plain('c', asks) + posted('d') + plain('e') + last, 6],
    ['a hundred', Array.from({ length: 100 }, (_, i) => posted(`r${i}`)).join('') + last, 101],
  ])('what comes behind %s in one packet is answered', async (_name, text, count) => {
    const answer = await raw(text)
    expect(answer.match(/HTTP\/1\.1 200/g)).toHaveLength(count)
    const ids = (of: string) => [...of.matchAll(/x-request-id: (\w+)/g)].map(([, id]) => id)
    expect(ids(answer)).toEqual(ids(text))
  })

  it('what comes behind it may be cut anywhere, or be no HTTP', async () => {
    const [cut, rest] = [plain('a', asks) + last.slice(0, 30), last.slice(30)]
    expect((await raw(cut, rest)).match(/HTTP\/1\.1 200/g)).toHaveLength(2)
    const refused = await raw(`${plain('a', asks)}neither\r\n\r\n`)
    expect(refused.match(/HTTP\/1\.1 \d+/g)?.at(-1)).toBe('HTTP/1.1 400')
  })

  it('on the stream’s path it is no stream', async () => {
    const head = 'host: x\r\nconnection: upgrade, close\r\nupgrade: h2c\r\n\r\n'
    const answer = await raw(`GET /v1/stream HTTP/1.1\r\n${head}`)
    expect(answer).toMatch(/^HTTP\/1\.1 426 /)
    expect(answer).toContain('application/problem+json')
  })
})

describe.each(['QUERY', 'PROPFIND', 'OPTIONS', 'PATCH', 'PUT', 'BREW'])(
  '%s is a method that no resource has',
  method => {
    const typed = `content-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`
    it.each([
      ['/v1/attention', 'POST', typed],
      ['/v1/attention', 'POST', '\r\n'],
      ['/health/live?verbose', 'GET, HEAD', '\r\n'],
      ['/v1/jobs/some', 'GET, DELETE, HEAD', '\r\n'],
      ['/v2', 'GET, HEAD', '\r\n'],
      ['/v2/models/attention/infer', 'POST', typed],
      ['/v2/models/attention/versions/1', 'GET, HEAD', '\r\n'],
    ])('of %s, which has %s', async (path, allowed, rest) => {
      const answer = await raw(`${method} ${path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n${rest}`)
      expect(answer).toMatch(/^HTTP\/1\.1 405 /)
      expect(answer).toContain(`\r\nallow: ${allowed}\r\n`)
      expect(answer).toContain('application/problem+json')
      expect(answer).toContain(`expected ${allowed.replaceAll(', ', ' or ')}, got ${method}`)
    })

    it('is a 404 where there is no resource', async () => {
      const answer = await raw(`${method} /nowhere HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`)
      expect(answer).toMatch(/^HTTP\/1\.1 404 /)
    })
  },
)

it('a method that nobody knows is told behind other requests too; what is no request is malformed', async () => {
  const live = 'GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n'
  const answers = await raw(`${live}${live}BREW /v1/plan HTTP/1.1\r\nhost: x\r\n\r\n`)
  expect(answers.match(/HTTP\/1\.1 \d+/g)?.at(-1)).toBe('HTTP/1.1 405')
  for (const text of ['BREW\r\n\r\n', 'BREW nowhere\r\n\r\n', '\x16\x03\x01\r\n\r\n']) {
    expect(await raw(text)).toMatch(/^HTTP\/1\.1 400 /)
  }
})

describe('a byte order mark', () => {
  const post = (text: Uint8Array) =>
    fetch(server.url + path, {
      method: 'POST',
      headers: { 'content-type': JSON_TYPE },
      body: new Uint8Array(text),
    })
  const mark = Buffer.from('\ufeff')

  it.each([
    ['a small body', body],
    [
      'a body that workers scan',
      JSON.stringify({ ...one, q: { shape: [40_000, 2], data: Array(80_000).fill(0.5) } }),
    ],
  ])('before %s is no part of it', async (_name, text) => {
    const plain = await (await post(Buffer.from(text))).text()
    const marked = await post(Buffer.concat([mark, Buffer.from(text)]))
    expect(marked.status).toBe(200)
    expect((await marked.text()) === plain).toBe(true)
  })

  it('is taken once, and at the beginning', async () => {
    expect((await post(Buffer.concat([mark, mark, Buffer.from(body)]))).status).toBe(400)
    expect((await post(Buffer.concat([Buffer.from(body), mark]))).status).toBe(400)
    expect((await post(mark)).status).toBe(400)
  })
})

it('a list of no gradients means those of the default', async () => {
  const target = [[0, 0]]
  const none = await attention(server, { ...one, backward: { target, wrt: [] } })
  const absent = await attention(server, { ...one, backward: { target } })
  expect(none.body).toEqual(absent.body)
  expect(Object.keys(none.body.grads)).toEqual(['q', 'k', 'v'])
})

it('an empty dictionary of parameters beside init is refused, and a stack’s list of no gradients means all', async () => {
  const x = [
    [1, 0],
    [0, 1],
  ]
  const ask = async (path: string, request: object) => {
    const headers = { 'content-type': JSON_TYPE }
    const response = await fetch(server.url + path, {
      method: 'POST',
      headers,
      body: JSON.stringify(request),
    })
    const body = (await response.json()) as { code: string; grads: object; errors: { path: string }[] }
    return { status: response.status, body }
  }
  const stack = { layers: 1, heads: 1, init: { seed: 1 } }
  for (const [path, request, place] of [
    ['/v1/transformer', { x, stack: { ...stack, params: {} } }, /^\/stack/],
    ['/v1/multi-head-attention', { x, heads: 1, params: {}, init: { seed: 1 } }, /^\/(params|init)/],
  ] as const) {
    const { status, body } = await ask(path, request)
    expect([path, status, body.code]).toEqual([path, 400, 'INVALID_REQUEST'])
    expect(body.errors[0].path).toMatch(place)
  }
  const backward = { target: x }
  const all = await ask('/v1/transformer', { x, stack, backward })
  const none = await ask('/v1/transformer', { x, stack, backward: { ...backward, wrt: [] } })
  expect(none.status).toBe(200)
  expect(none.body.grads).toEqual(all.body.grads)
  expect(Object.keys(none.body.grads)).toEqual(['x', 'params'])
})

it('a field of the request in a file’s metadata is refused, with its place', async () => {
  const tensors = Object.fromEntries(
    ['q', 'k', 'v'].map(name => [name, float32(Float32Array.of(1, 2), [1, 2])]),
  )
  const post = async (metadata: Record<string, string>) => {
    const headers = { 'content-type': SAFETENSORS_TYPE, accept: JSON_TYPE }
    const response = await fetch(server.url + path, {
      method: 'POST',
      headers,
      body: writeFile(tensors, metadata),
    })
    return { status: response.status, body: (await response.json()) as { errors: object[]; detail: string } }
  }
  const { status, body } = await post({ causal: 'true', format: 'pt' })
  expect(status).toBe(400)
  expect(body.errors).toMatchObject([{ path: '/__metadata__/causal' }])
  expect(body.detail).toContain('__metadata__.request')
  expect((await post({ format: 'pt', request: '{"causal":true}', note: 'causal' })).status).toBe(200)
})
