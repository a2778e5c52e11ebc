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
const before = server.app.engine.arena.usedBytes
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
    ['null first', { ...ok, v: [[null, 1]] }, 'INVALID_REQUEST', '/v/0/0', /expected a number .*got null/],
    ['text first', { ...ok, v: [['x', 1]] }, 'INVALID_REQUEST', '/v/0/0', /got string "x"/],
    ['object first', { ...ok, v: [{ a: 1 }, [1]] }, 'INVALID_REQUEST', '/v/0', /got an object/],
    ['deep and first', { ...ok, v: [[[['x']]]] }, 'INVALID_REQUEST', '/v/0/0/0/0', /got string "x"/],
    ['null before booleans', { ...ok, mask: [[null, true]] }, 'INVALID_REQUEST', '/mask/0/0', /got null/],
    ['null in slopes', { ...ok, alibi: [null, 1] }, 'INVALID_REQUEST', '/alibi/0', /got null/],
    ['null in lengths', { ...ok, q_lengths: [null] }, 'INVALID_REQUEST', '/q_lengths/0', /got null/],
    [
      'null in flat data',
      { ...ok, v: shaped([2, 1], { data: [null, 1] }) },
      'INVALID_REQUEST',
      '/v/data/0',
      /expected a number .*got null/,
    ],
    [
      'arrays of null in flat data',
      { ...ok, v: shaped([1, 1], { data: [[null]] }) },
      'INVALID_REQUEST',
      '/v/data/0',
      /got an array/,
    ],
    [
      'null in a shape',
      { ...ok, v: { shape: [null, 2], data: [1, 2] } },
      'INVALID_REQUEST',
      '/v/shape/0',
      /got null/,
    ],
    ['numbers as names', { ...ok, return: [1] }, 'INVALID_REQUEST', '/return/0', /"output".*got number 1/],
    [
      'booleans as names',
      { ...ok, backward: { target: I, wrt: [true] } },
      'INVALID_REQUEST',
      '/backward/wrt/0',
      /"q".*got boolean true/,
    ],
    [
      'numbers as an object',
      { ...ok, backward: [1] },
      'INVALID_REQUEST',
      '/backward',
      /got an array of numbers/,
    ],
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
      '/k/shape/0',
      /expected at most 1073741824, got 1099511627776/,
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
    [
      'backward',
      { ...ok, backward: {} },
      'INVALID_REQUEST',
      '/backward',
      /at least one of grad_output, target/,
    ],
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
    [
      'a kind that there is not',
      { ...ok, attention_kind: 'sparse' },
      'INVALID_REQUEST',
      '/attention_kind',
      /expected one of "softmax", "linear", "lsh", "local", "strided", "block", "gated", "delta", "gated_delta", "gated_linear" or an object, got string "sparse"/,
    ],
    [
      'an object of a kind that there is not',
      { ...ok, attention_kind: { kind: 'sparse', size: 3 } },
      'INVALID_REQUEST',
      '/attention_kind/kind',
      /expected one of "linear", "lsh", "local", "strided", "block", "gated", "gated_linear", "delta", "gated_delta", got string "sparse"/,
    ],
    [
      'a number that is too large',
      JSON.stringify({ ...ok, scale: 1 }).replace('"scale":1', '"scale":-1e400'),
      'INVALID_REQUEST',
      '/scale',
      /expected a number, got number -1e400/,
    ],
    [
      'a shape that is too large',
      '{"q":{"shape":[1e400],"data":[1]},"k":[[1]],"v":[[1]]}',
      'INVALID_REQUEST',
      '/q/shape/0',
      /got number Infinity/,
    ],
    ['array', '[1]', 'INVALID_REQUEST', '', /expected an object, got an array of numbers of shape \[1\]$/],
    ['words for numbers', '["NaN",1]', 'INVALID_REQUEST', '', /expected an object, got an array of numbers/],
    ['empty array', '[]', 'INVALID_REQUEST', '', /expected an object, got an array$/],
    ['array of objects', '[{"q":1}]', 'INVALID_REQUEST', '', /expected an object, got an array$/],
    [
      'long string',
      `"${'y'.repeat(1200)}"`,
      'INVALID_REQUEST',
      '',
      /expected an object, got a string of 1200/,
    ],
    ['number without end', '1e400', 'INVALID_REQUEST', '', /expected an object, got number 1e400/],
    [
      'an array within',
      { ...ok, backward: ['NaN', 1] },
      'INVALID_REQUEST',
      '/backward',
      /expected an object, got an array of numbers/,
    ],
    [
      'a string within',
      { ...ok, rope: 'y'.repeat(1200) },
      'INVALID_REQUEST',
      '/rope',
      /an object, got a string of/,
    ],
    [
      'an array for one of several objects',
      { ...ok, qk_norm: [1] },
      'INVALID_REQUEST',
      '/qk_norm',
      /expected "l2" or an object, got an array of numbers of shape \[1\]$/,
    ],
    [
      'a string for one of several objects',
      { ...ok, attention_kind: 'y'.repeat(1200) },
      'INVALID_REQUEST',
      '/attention_kind',
      /or an object, got a string of 1200 bytes$/,
    ],
    [
      'an escape that is none',
      '{"q":{"base64":"AQAA\\q="}}',
      'INVALID_JSON',
      '',
      /behind the backslash, got "q"/,
    ],
    [
      'lengths with more blanks than numbers',
      `{"q":[[1]],"k":[[1]],"v":[[1]],"kv_lengths":[1${' '.repeat(10_000)}]}`,
      'INVALID_TENSOR',
      '/kv_lengths',
      /expected an integer from 0 to 1, got 10003 bytes of text for 1 of them/,
    ],
    [
      'a shape of empty arrays',
      `{"q":{"shape":[[]${',[]'.repeat(100_000)}],"data":[1]},"k":[[1]],"v":[[1]]}`,
      'INVALID_REQUEST',
      '/q/shape',
      /at most 8 non-negative integers, got an array of numbers of shape \[100001, 0\] in 300004 bytes/,
    ],
    [
      'names that are empty arrays',
      `{"q":[[1]],"k":[[1]],"v":[[1]],"return":[[]${',[]'.repeat(100_000)}]}`,
      'INVALID_REQUEST',
      '/return',
      /expected an array, got an array of numbers of shape \[100001, 0\] in 300004 bytes/,
    ],
    [
      'a number that nobody writes',
      `{"q":[[1]],"k":[[1.${'0'.repeat(100_000)}]],"v":[[1]]}`,
      'INVALID_TENSOR',
      '/k/0/0',
      /expected a number of at most 4096 bytes/,
    ],
    ['number', '5', 'INVALID_REQUEST', '', /expected an object, got number 5/],
    ['nothing', '', 'INVALID_JSON', '', /got the end/],
    ['cut off', '{"q":[[1', 'INVALID_JSON', '', /got the end/],
    ['trailing', `${JSON.stringify(ok)}x`, 'INVALID_JSON', '', /end of the body, got "x"/],
    ['twice', '{"q":[[1]],"q":[[1]]}', 'INVALID_JSON', '/q', /expected one "q", got two/],
    ['bare NaN', '{"q":[[NaN]]}', 'INVALID_JSON', '/q/0/0', /got NaN without quotes/],
    ['__proto__', '{"__proto__":{"q":1}}', 'INVALID_REQUEST', '/__proto__', /no such field/],
    ['deep', '['.repeat(100_000), 'INVALID_JSON', /./ as unknown as string, /at most 64 levels/],
    ['deep objects', '{"a":'.repeat(100_000), 'INVALID_JSON', /./ as unknown as string, /at most 64 levels/],
    [
      'many objects',
      `[${'{},'.repeat(200_000)}{}]`,
      'INVALID_JSON',
      /./ as unknown as string,
      /at most 20000 values/,
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

  it('pointers to names with slashes and tildes are escaped', async () => {
    const named = (name: string) => ({ [name]: { dtype: 'F9', shape: [1], data: new Uint8Array(1) } })
    const twice = Buffer.from(
      `${' '.repeat(8)}{"a/b":{"dtype":"F32","shape":[0],"data_offsets":[4,4]}}`,
      'latin1',
    )
    twice.writeBigUInt64LE(BigInt(twice.length - 8))
    const extra = Buffer.from(`${' '.repeat(8)}{"q":{"~":1}}`, 'latin1')
    extra.writeBigUInt64LE(BigInt(extra.length - 8))
    const text = Buffer.from(`${' '.repeat(8)}{"__metadata__":{"a/b":1}}`, 'latin1')
    text.writeBigUInt64LE(BigInt(text.length - 8))
    const files: [Buffer<ArrayBuffer>, string][] = [
      [writeFile(named('a/b~c'), {}), '/a~1b~0c/dtype'],
      [twice, '/a~1b/data_offsets'],
      [extra, '/q/~0'],
      [text, '/__metadata__/a~1b'],
      [writeFile({ 'x/y': float32([1], [1]) }, { request: '{"x/y":[1]}' }), '/x~1y'],
      [writeFile({ 'a~b.__proto__': float32([1], [1]) }, {}), '/a~0b/__proto__'],
    ]
    for (const [file, path] of files) {
      const response = await fetch(`${server.url}/v1/attention`, {
        method: 'POST',
        headers: { 'content-type': SAFETENSORS_TYPE },
        body: file,
      })
      expect(await response.json()).toMatchObject({ status: 400, errors: [{ path }] })
    }
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

it('no batch elements have no lengths', async () => {
  const none = { shape: [0, 1, 2, 2], data: [] }
  for (const lengths of [[], { shape: [0], data: [] }, { shape: [0], dtype: 'int32', base64: '' }]) {
    const body = { q: none, k: none, v: none, q_lengths: lengths, kv_lengths: lengths }
    const answer = await attention(server, body)
    expect([answer.status, answer.body]).toEqual([200, { output: [] }])
  }
})

describe('a few characters of what a client has sent are quoted at most', () => {
  const long = 'z'.repeat(900)
  const file = (name: string, more = {}) => writeFile({ [name]: { ...float32([1], [1, 1]), ...more } }, {})
  const twice = writeFile({ [long]: float32([1], [1, 1]) }, { request: `{"${long}":1}` })

  it.each<[string, string, RequestInit]>([
    ['an unknown field', '/v1/attention', { body: JSON.stringify({ ...ok, [long]: 1 }) }],
    [
      'fields within fields',
      '/v1/attention',
      { body: `${`{"${long}":`.repeat(40)}[1,[2]]${'}'.repeat(40)}` },
    ],
    ['a field twice', '/v1/attention', { body: `{"${long}":1,"${long}":1}` }],
    ['a value', '/v1/attention', { body: JSON.stringify({ ...ok, precision: long }) }],
    ['a tensor', '/v1/attention', { body: JSON.stringify({ ...ok, k: long }) }],
    ['an unknown member of a tensor', '/v1/attention', { body: JSON.stringify({ ...ok, k: { [long]: 1 } }) }],
    [
      'a dtype',
      '/v1/attention',
      { body: JSON.stringify({ ...ok, k: { shape: [1], dtype: long, data: [1] } }) },
    ],
    ['a first element', '/v1/attention', { body: JSON.stringify({ ...ok, k: [[long]] }) }],
    ['a name in return', '/v1/attention', { body: JSON.stringify({ ...ok, return: [long] }) }],
    [
      'a name in wrt',
      '/v1/self-attention',
      { body: JSON.stringify({ x: I, init: {}, backward: { target: I, wrt: [`params.${long}`] } }) },
    ],
    [
      'a parameter',
      '/v1/transformer',
      { body: JSON.stringify({ x: I, stack: { layers: 1, heads: 1, params: { [long]: I } } }) },
    ],
    ['a tensor of a file', '/v1/attention', { body: file(long) }],
    ['a type in a file', '/v1/attention', { body: file('q', { dtype: long }) }],
    ['a name twice in a file', '/v1/attention', { body: twice }],
    ['an endpoint', '/v1/plan', { body: JSON.stringify({ endpoint: long, body: {} }) }],
    ['a path', `/${long}`, { body: '{}' }],
    ['a path that is none', `/%zz${long}`, { body: '{}' }],
    ['a media type', '/v1/attention', { body: '{}', headers: { 'content-type': `text/${long}` } }],
    ['an encoding', '/v1/attention', { body: '{}', headers: { 'content-encoding': long } }],
  ])('%s', async (name, path, init) => {
    const type = typeof init.body === 'string' ? 'application/json' : SAFETENSORS_TYPE
    const id = `quote-${name.replaceAll(' ', '-')}`
    const headers = { 'content-type': type, 'x-request-id': id, ...init.headers }
    const response = await fetch(server.url + path, { ...init, method: 'POST', headers })
    const text = await response.text()
    expect(response.status).toBeLessThan(500)
    expect(text).toContain('"code"')
    expect(text).not.toMatch(/z{70}/)
    for (const { path } of JSON.parse(text).errors ?? []) expect(path.length).toBeLessThan(600)
    // what the framework cannot route is not logged
    if (!path.startsWith('/%')) await expect.poll(() => server.log.some(line => line.includes(id))).toBe(true)
    expect(server.log.filter(line => line.includes(id)).join('')).not.toMatch(/z{70}/)
  })
})

it.each([
  ['range', 'bytes=999999999-'],
  ['if-match', '"none"'],
])('what a file cannot answer is the fault of the request: %s', async (name, value) => {
  const response = await fetch(`${server.url}/docs/static/swagger-ui.css`, { headers: { [name]: value } })
  expect(await response.json()).toMatchObject({ status: 400, code: 'BAD_HTTP' })
})

it.each(['/docs/static/%00', '/docs/static/..%2f..%2fpackage.json', '/assets/%00', '/%00'])(
  'a path that no file can have is one that is not there: %s',
  async path => {
    const response = await fetch(server.url + path)
    expect(response.status).toBeGreaterThanOrEqual(400)
    expect(response.status).toBeLessThan(500)
    expect(response.headers.get('content-type')).toContain('application/problem+json')
    expect(await response.text()).not.toMatch(/node_modules|Error|ENOENT/)
  },
)

it.each([
  ['a matrix', '{"q":[[1,"2"]],"k":[[1,1]],"v":[[1]]}', '/q/0/1'],
  ['flat data', '{"q":{"shape":[1,2],"data":[1,"2.5"]},"k":[[1,1]],"v":[[1]]}', '/q/data/1'],
  ['bare −Infinity', '{"q":[[1,-Infinity]],"k":[[1,1]],"v":[[1]]}', '/q/0/1'],
  ['bare Infinity', '{"q":[[1,1]],"k":[[1,1]],"v":[[Infinity]]}', '/v/0/0'],
  ['beyond float64', '{"q":[[1,1]],"k":[[1,-1e400]],"v":[[1]],"precision":"float64"}', '/k/0/1'],
])('what clients send in place of a number is named where it stands: %s', async (_what, text, path) => {
  const { status, body } = await post(server, '/v1/attention', text)
  expect(status).toBe(400)
  expect(body.errors.map((error: { path: string }) => error.path)).toEqual([path])
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
    const zipped = await post(server, '/v1/attention', ok, { 'content-encoding': 'lzw' })
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

it('after all of it: no 5xx, no contents in the log, no memory kept', async () => {
  const telling = 0.123456789
  const rows = [[telling, 1]]
  const last = { 'x-request-id': 'the-last' }
  expect((await post(server, '/v1/attention', { q: rows, k: rows, v: rows }, last)).status).toBe(200)
  await expect.poll(() => server.log.some(line => line.includes('the-last'))).toBe(true)
  const lines = server.log.filter(line => JSON.parse(line).msg === 'request').map(line => JSON.parse(line))
  expect(lines.length).toBeGreaterThan(80)
  expect(lines.filter(({ status }) => status >= 500)).toEqual([])
  expect(lines.at(-1)).toMatchObject({ status: 200, inputs: { q: [1, 2], k: [1, 2], v: [1, 2] } })
  expect(server.log.join('')).not.toContain(String(telling))
  expect(await settled(server, before)).toBe(before)
})

it('codes are upper snake, and statuses what the contract knows', () => {
  for (const [code, { status }] of Object.entries(PROBLEMS)) {
    expect(code).toMatch(/^[A-Z][A-Z_]+$/)
    expect([400, 401, 403, 404, 405, 408, 409, 410, 413, 415, 426, 429, 431, 499, 500, 503, 504]).toContain(
      status,
    )
  }
})
