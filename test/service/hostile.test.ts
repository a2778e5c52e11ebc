import { connect } from 'node:net'
import { describe, expect, it } from 'vitest'
import { PROBLEMS } from '../../src/problem.ts'
import { float32, writeFile } from './safetensors-file.ts'
import { attention, post, SAFETENSORS_TYPE, settled, startServer } from './server.ts'

const server = await startServer({
  MAX_BODY_BYTES: String(4 << 20),
  MAX_FLOPS: '1e9',
  MAX_REQUEST_BYTES: String(64 << 20),
})
const before = server.app.compute.arena.usedBytes
const I = [
  [1, 0],
  [0, 1],
]
const ok = { q: I, k: I, v: I }
const shaped = (shape: number[], more: object) => ({ shape, ...more })

describe('what is wrong is named', () => {
  it.each<[string, object | string, string, string, RegExp]>([
    [
      'ragged',
      {
        ...ok,
        k: [
          [1, 2],
          [3, 4, 5],
        ],
      },
      'INVALID_TENSOR',
      '/k/1',
      /expected 2 elements.*got 3/,
    ],
    ['mixed', { ...ok, k: [[1, true]] }, 'INVALID_TENSOR', '/k/0/1', /expected a number, got a boolean/],
    ['null element', { ...ok, k: [[1, null]] }, 'INVALID_TENSOR', '/k/0/1', /got null/],
    ['no tensor', { ...ok, k: 'x' }, 'INVALID_REQUEST', '/k', /expected a tensor.*got string "x"/],
    ['missing', { q: I, v: I }, 'INVALID_REQUEST', '/k', /got nothing/],
    ['rank', { ...ok, q: [1, 2] }, 'SHAPE_MISMATCH', '/q', /expected rank 2, 3 or 4, got \[2\]/],
    [
      'd_k',
      { ...ok, k: shaped([2, 3], { data: [1, 2, 3, 4, 5, 6] }) },
      'SHAPE_MISMATCH',
      '/k/shape',
      /expected \[M, 2\], got \[2, 3\]/,
    ],
    [
      'heads',
      { q: [[I], [I]].slice(0, 1).map(() => [I, I, I]), k: [[I, I]], v: [[I, I]] },
      'SHAPE_MISMATCH',
      '/k',
      /divides H = 3/,
    ],
    [
      'mask',
      { ...ok, mask: [[true, true, true]] },
      'SHAPE_MISMATCH',
      '/mask',
      /broadcasts to \[2, 2\], got \[1, 3\]/,
    ],
    [
      'count',
      { ...ok, k: shaped([2, 2], { data: [1, 2, 3] }) },
      'INVALID_REQUEST',
      '/k/data',
      /expected 4 elements.*got 3/,
    ],
    [
      'dtype',
      { ...ok, k: shaped([1, 1], { dtype: 'float8', base64: '' }) },
      'INVALID_REQUEST',
      '/k/dtype',
      /float8/,
    ],
    [
      'integer q',
      { ...ok, q: shaped([1, 2], { dtype: 'int32', data: [1, 2] }) },
      'INVALID_REQUEST',
      '/q/dtype',
      /got int32/,
    ],
    ['bool q', { ...ok, q: [[true, false]] }, 'INVALID_REQUEST', '/q', /got bool/],
    [
      'overflowing shape',
      { ...ok, k: shaped([2 ** 40, 2 ** 40], { data: [] }) },
      'INVALID_REQUEST',
      '/k/shape',
      /expected fewer/,
    ],
    [
      'negative extent',
      { ...ok, k: shaped([-1, 2], { data: [] }) },
      'INVALID_REQUEST',
      '/k/shape/0',
      /non-negative integer, got number -1/,
    ],
    [
      'base64 length',
      { ...ok, k: shaped([1, 2], { dtype: 'float32', base64: 'AAAA' }) },
      'INVALID_REQUEST',
      '/k/base64',
      /expected 12 .* got 4/,
    ],
    [
      'base64 alphabet',
      { ...ok, k: shaped([2, 2], { dtype: 'float32', base64: 'AAAA AAAAAAAAAAAAAAAAAA=' }) },
      'INVALID_TENSOR',
      '/k',
      /base64/,
    ],
    [
      'data and base64',
      { ...ok, k: shaped([1, 2], { dtype: 'float32', base64: '', data: [] }) },
      'INVALID_REQUEST',
      '/k',
      /got both/,
    ],
    [
      'NaN',
      {
        ...ok,
        k: [
          [1, 'NaN'],
          [0, 1],
        ],
      },
      'NON_FINITE',
      '/k/0/1',
      /finite.*got "NaN"/,
    ],
    [
      'NaN, flat',
      { ...ok, k: shaped([2, 2], { data: [1, 2, 3, 'Infinity'] }) },
      'NON_FINITE',
      '/k/data/3',
      /"Infinity"/,
    ],
    [
      '1e400',
      '{"q":[[1e400,1]],"k":[[1,1]],"v":[[1]],"precision":"float64"}',
      'NON_FINITE',
      '/q/0/0',
      /1e400/,
    ],
    [
      'float32 overflow',
      {
        ...ok,
        q: [
          [1e39, 1],
          [1, 1],
        ],
      },
      'NON_FINITE',
      '/q/0/0',
      /float32 can hold, got 1e\+?39/,
    ],
    [
      'float16 overflow',
      { ...ok, q: shaped([1, 2], { dtype: 'float16', data: [1, 70000] }) },
      'NON_FINITE',
      '/q/data/1',
      /float16/,
    ],
    ['lengths', { ...ok, kv_lengths: [3] }, 'INVALID_TENSOR', '/kv_lengths/0', /from 0 to 2, got 3/],
    [
      'lengths shape',
      { ...ok, kv_lengths: [1, 1] },
      'SHAPE_MISMATCH',
      '/kv_lengths',
      /expected \[1\], got \[2\]/,
    ],
    ['alibi slopes', { ...ok, alibi: [1, 2] }, 'SHAPE_MISMATCH', '/alibi', /expected \[1\], got \[2\]/],
    ['unknown field', { ...ok, maks: [[true]] }, 'INVALID_REQUEST', '/maks', /no such field/],
    [
      'unknown nested field',
      { ...ok, dropout: { p: 0.1, sed: 1 } },
      'INVALID_REQUEST',
      '/dropout/sed',
      /no such field/,
    ],
    [
      'enum',
      { ...ok, precision: 'float16' },
      'INVALID_REQUEST',
      '/precision',
      /"float32", "float64", got string "float16"/,
    ],
    [
      'causal',
      { ...ok, causal: 'left' },
      'INVALID_REQUEST',
      '/causal',
      /boolean or one of "top_left", "bottom_right", got string "left"/,
    ],
    ['dropout', { ...ok, dropout: { p: 1 } }, 'INVALID_REQUEST', '/dropout/p', /less than 1, got number 1/],
    [
      'window',
      { ...ok, window: { left: -1 } },
      'INVALID_REQUEST',
      '/window/left',
      /at least 0, got number -1/,
    ],
    ['qk_norm', { ...ok, qk_norm: { kind: 'rms', eps: -1 } }, 'INVALID_REQUEST', '/qk_norm/eps', /at least/],
    ['rope dims', { ...ok, rope: { dims: 4 } }, 'INVALID_REQUEST', '/rope/dims', /at most d_k = 2, got 4/],
    ['scale', '{"q":[[1]],"k":[[1]],"v":[[1]],"scale":1e400}', 'INVALID_REQUEST', '/scale', /number/],
    ['return', { ...ok, return: ['outputs'] }, 'INVALID_REQUEST', '/return/0', /"outputs"/],
    ['backward', { ...ok, backward: {} }, 'INVALID_REQUEST', '/backward', /got neither/],
    [
      'target shape',
      { ...ok, backward: { target: [[1, 2]] } },
      'SHAPE_MISMATCH',
      '/backward/target',
      /expected \[2, 2\], got \[1, 2\]/,
    ],
    [
      'wrt',
      { ...ok, mask: [[true, true]], backward: { target: I, wrt: ['q', 'mask'] } },
      'INVALID_REQUEST',
      '/backward/wrt/1',
      /bool mask/,
    ],
    ['array', '[1]', 'INVALID_REQUEST', '/q', /got nothing/],
    ['number', '5', 'INVALID_REQUEST', '', /expected an object, got number 5/],
    ['nothing', '', 'INVALID_JSON', '', /got the end/],
    ['cut off', '{"q":[[1', 'INVALID_JSON', '', /got the end/],
    ['trailing', `${JSON.stringify(ok)}x`, 'INVALID_JSON', '', /end of the body, got "x"/],
    ['twice', '{"q":[[1]],"q":[[1]]}', 'INVALID_JSON', '/q', /expected one "q", got two/],
    ['bare NaN', '{"q":[[NaN]]}', 'INVALID_JSON', '', /got "N"/],
    ['__proto__', '{"__proto__":{"q":1}}', 'INVALID_REQUEST', '/__proto__', /no such field/],
    ['deep', '['.repeat(100_000), 'INVALID_JSON', /./ as unknown as string, /at most 64 levels/],
    ['deep objects', '{"a":'.repeat(100_000), 'INVALID_JSON', /./ as unknown as string, /at most 64 levels/],
    [
      'many objects',
      `[${'{},'.repeat(200_000)}{}]`,
      'INVALID_JSON',
      /./ as unknown as string,
      /at most 100000 values/,
    ],
  ])('%s', async (_name, body, code, path, message) => {
    const answer = await attention(server, body)
    expect(answer.body).toMatchObject({ status: 400, code })
    expect(answer.headers.get('content-type')).toBe('application/problem+json')
    if (typeof path === 'string') expect(answer.body.errors[0].path).toBe(path)
    expect(answer.body.errors[0].message).toMatch(message)
  })

  it.each<[string, Buffer<ArrayBuffer>, RegExp]>([
    ['empty', Buffer.alloc(0), /at least 8 bytes/],
    ['header longer than the file', Buffer.from([200, 0, 0, 0, 0, 0, 0, 0, 123]), /at least 208 bytes/],
    ['enormous header', Buffer.from([255, 255, 255, 255, 255, 255, 255, 127]), /at most 1048576/],
    [
      'trailing bytes',
      Buffer.concat([writeFile({ q: float32([1], [1, 1]) }, {}), Buffer.from([0])]),
      /expected 4 bytes of data, got 5/,
    ],
    [
      'unknown dtype',
      writeFile({ q: { dtype: 'F8_E5M2', shape: [1], data: new Uint8Array(1) } }, {}),
      /F8_E5M2/,
    ],
    [
      'wrong size',
      writeFile({ q: { dtype: 'F32', shape: [3], data: new Uint8Array(4) } }, {}),
      /12 bytes apart/,
    ],
    [
      'one name twice',
      Buffer.from(
        '\x34\0\0\0\0\0\0\0{"q":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'.replace('}', '},"q":1}'),
        'latin1',
      ),
      /./,
    ],
    [
      'a tensor and a field',
      writeFile({ q: float32([1], [1, 1]) }, { request: '{"q":[[1]]}' }),
      /one value for q, got two/,
    ],
    ['request no object', writeFile({ q: float32([1], [1, 1]) }, { request: '[1]' }), /JSON object/],
    ['request no JSON', writeFile({ q: float32([1], [1, 1]) }, { request: '{' }), /quotes/],
  ])('safetensors: %s', async (_name, file, message) => {
    const response = await fetch(`${server.url}/v1/attention`, {
      method: 'POST',
      headers: { 'content-type': SAFETENSORS_TYPE },
      body: file,
    })
    const body = (await response.json()) as { code: string; errors: unknown[] }
    expect(response.status).toBe(400)
    expect(['INVALID_SAFETENSORS', 'INVALID_JSON']).toContain(body.code)
    expect(JSON.stringify(body.errors)).toMatch(message)
  })

  it('an element of a binary tensor, by its index', async () => {
    const bad = float32([1, 2, 3, Number.NaN], [2, 2])
    const file = writeFile({ q: bad, k: float32([1, 1], [1, 2]), v: float32([1], [1, 1]) }, {})
    const response = await fetch(`${server.url}/v1/attention`, {
      method: 'POST',
      headers: { 'content-type': SAFETENSORS_TYPE },
      body: file,
    })
    expect(await response.json()).toMatchObject({
      code: 'NON_FINITE',
      errors: [{ path: '/q', message: expect.stringMatching(/index \[1, 1\]/) }],
    })
  })
})

describe('limits', () => {
  it('a body too large, announced or not', async () => {
    const large = Buffer.alloc(5 << 20, ' ')
    const announced = await fetch(`${server.url}/v1/attention`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: large,
    })
    expect(announced.status).toBe(413)
    expect(await announced.json()).toMatchObject({
      code: 'BODY_TOO_LARGE',
      detail: expect.stringMatching(/at most 4194304/),
    })
    const stream = new Blob([large]).stream()
    const chunked = await fetch(`${server.url}/v1/attention`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: stream,
      duplex: 'half',
    } as RequestInit)
    expect(chunked.status).toBe(413)
  })

  it('a computation too large', async () => {
    const rows = {
      shape: [1, 1, 40000, 1],
      dtype: 'float32',
      base64: Buffer.alloc(160_000).toString('base64'),
    }
    expect((await attention(server, { q: rows, k: rows, v: rows })).body).toMatchObject({
      status: 413,
      code: 'COMPUTE_TOO_LARGE',
    })
    const fewer = {
      shape: [1, 1, 5000, 1],
      dtype: 'float32',
      base64: Buffer.alloc(20_000).toString('base64'),
    }
    expect(
      (await attention(server, { q: fewer, k: fewer, v: fewer, return: ['weights'] })).body,
    ).toMatchObject({ status: 413, code: 'MEMORY_TOO_LARGE' })
  })

  it('a shape of a billion empty rows', async () => {
    const empty = { shape: [1_000_000_000, 1, 0, 4], data: [] }
    const { status, body } = await attention(server, { q: empty, k: empty, v: empty })
    expect([status, body.code]).toEqual([413, 'MEMORY_TOO_LARGE'])
    const heads = { shape: [1, 1_000_000_000, 0, 4], data: [] }
    expect(
      (await attention(server, { q: heads, k: heads, v: heads, encoding: 'flat', alibi: true })).status,
    ).toBeLessThan(500)
  })
})

describe('HTTP', () => {
  it.each([
    ['GET', '/v1/attention', 405, 'METHOD_NOT_ALLOWED'],
    ['DELETE', '/v1/plan', 405, 'METHOD_NOT_ALLOWED'],
    ['POST', '/health/live', 405, 'METHOD_NOT_ALLOWED'],
    ['GET', '/nope', 404, 'NOT_FOUND'],
    ['GET', '/%zz', 400, 'BAD_HTTP'],
  ])('%s %s is %i', async (method, path, status, code) => {
    const response = await fetch(server.url + path, { method })
    expect(response.status).toBe(status)
    expect(await response.json()).toMatchObject({ status, code })
    expect(response.headers.get('server-timing')).toMatch(/decode;dur=/)
    if (status === 405) expect(response.headers.get('allow')).toBeTruthy()
  })

  it('other media types are a 415', async () => {
    const response = await fetch(`${server.url}/v1/attention`, { method: 'POST', body: '{}' })
    expect(response.status).toBe(415)
    const zipped = await post(server, '/v1/attention', ok, { 'content-encoding': 'gzip' })
    expect(zipped.status).toBe(415)
  })

  it('garbage on the socket is a 400', async () => {
    const socket = connect(Number(new URL(server.url).port), '127.0.0.1')
    socket.write('\x16\x03\x01 garbage\r\n\r\n')
    const text = await new Promise<string>(resolve => {
      let received = ''
      socket.on('data', data => {
        received += data
      })
      socket.on('close', () => resolve(received))
    })
    expect(text).toMatch(/^HTTP\/1.1 400 /)
    expect(text).toContain('application/problem+json')
  })

  it('request ids come back; strange ones are replaced', async () => {
    expect(
      (await post(server, '/v1/attention', ok, { 'x-request-id': 'abc-1' })).headers.get('x-request-id'),
    ).toBe('abc-1')
    const { headers, body } = await post(server, '/v1/attention', '{', { 'x-request-id': 'a b' })
    expect(headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/)
    expect(body.request_id).toBe(headers.get('x-request-id'))
  })
})

describe('the log', () => {
  /** Digits that no size, time or hash is likely to have by chance. */
  const SECRET = [0.7310585786300049, -7.310585786300049e-9, 73105857863, 7.310585786300049e30]
  const DIGITS = /73105857|731058578/
  const binary = (values: number[]) => Buffer.from(Float32Array.from(values).buffer)
  const rows = SECRET.map(value => [value, 1])
  const base64 = binary(SECRET).toString('base64')
  const flat = shaped([2, 2], { data: SECRET })
  const coded = shaped([2, 2], { dtype: 'float32', base64 })
  const secret = { q: rows, k: flat, v: coded }

  it.each<[string, object | string, number]>([
    ['a good request', secret, 200],
    ['ragged', { ...secret, q: [...rows, SECRET] }, 400],
    ['an element of another kind', { ...secret, q: [...rows, [SECRET[0], true]] }, 400],
    ['an infinite element', { ...secret, q: [...rows, ['Infinity', SECRET[0]]] }, 400],
    ['too many for the shape', { ...secret, k: shaped([3, 2], { data: SECRET }) }, 400],
    ['a shape that does not fit', { ...secret, k: shaped([1, 4], { data: SECRET }) }, 400],
    ['base64 of the wrong length', { ...secret, v: shaped([3, 2], { dtype: 'float32', base64 }) }, 400],
    ['a tensor where a number belongs', { ...secret, scale: SECRET }, 400],
    ['a tensor of the wrong name', { ...secret, w: SECRET }, 400],
    ['an element out of range', { ...secret, q: [[7.310585786300049e39, 1]] }, 400],
    ['cut off', JSON.stringify(secret).slice(0, -9), 400],
    ['broken within a number', JSON.stringify(secret).replace('49', '4.9.'), 400],
  ])('has the shapes of %s, and nothing of what is in it', async (_name, body, status) => {
    const id = `log-${Math.random().toString(36).slice(2)}`
    const answer = await post(server, '/v1/attention', body, { 'x-request-id': id })
    expect(answer.status).toBe(status)
    const lines = await logged(id)
    expect(JSON.parse(lines[0])).toMatchObject({ status, route: '/v1/attention' })
    if (status === 200) expect(JSON.parse(lines[0]).inputs).toEqual({ q: [4, 2], k: [2, 2], v: [2, 2] })
    expect(lines.join()).not.toMatch(DIGITS)
    expect(lines.join()).not.toContain(base64.slice(0, 8))
  })

  it('has nothing of a file', async () => {
    const file = writeFile(
      { q: float32(SECRET, [2, 2]), k: float32(SECRET, [2, 2]), v: float32(SECRET, [4]) },
      {},
    )
    const headers = { 'content-type': SAFETENSORS_TYPE, 'x-request-id': 'log-of-a-file' }
    const response = await fetch(`${server.url}/v1/attention`, { method: 'POST', headers, body: file })
    expect(response.status).toBe(400)
    expect((await logged('log-of-a-file')).join()).not.toMatch(DIGITS)
  })

  /** The lines of a request; the last of them is written after its answer. */
  async function logged(id: string): Promise<string[]> {
    const lines = () => server.log.filter(line => JSON.parse(line).reqId === id)
    await expect.poll(() => lines().length).toBeGreaterThan(0)
    return lines()
  }

  it('has no 5xx, after all of it, and no memory is kept', async () => {
    expect((await attention(server, ok)).status).toBe(200)
    const statuses = server.log.map(line => JSON.parse(line).status).filter(Boolean)
    expect(statuses).toContain(200)
    expect(statuses.filter(status => status >= 500)).toEqual([])
    expect(await settled(server, before)).toBe(before)
  })
})

it('codes are upper snake, and statuses what the contract knows', () => {
  for (const [code, { status }] of Object.entries(PROBLEMS)) {
    expect(code).toMatch(/^[A-Z][A-Z_]+$/)
    expect([400, 401, 403, 404, 405, 408, 413, 415, 426, 429, 499, 500, 503, 504]).toContain(status)
  }
})
