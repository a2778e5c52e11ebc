/** What a hostile or mistaken client may send to /v2: each a clear 400, never a 500, and nothing is left of it. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { settled, startServer } from '../server.ts'
import { float32, type Input, infer, send, write } from './message.ts'

const server = await startServer()
const { usedBytes } = server.app.engine.arena

const INFER = '/v2/models/attention/infer'
const SHAPE = [1, 2]
const text = (name: string): Input => ({ name, datatype: 'FP32', shape: SHAPE, data: [1, 2] })
const bytes = (name: string): Input => ({ name, datatype: 'FP32', shape: SHAPE, bytes: float32(1, 2) })
const TEXT = [text('q'), text('k'), text('v')]
const BYTES = [bytes('q'), bytes('k'), bytes('v')]
const third = (input: object) => [...TEXT.slice(0, 2), { ...text('v'), ...input }]

/** What the answer says, beside its status. */
async function refused(
  inputs: Input[],
  more: object = {},
  headers: Record<string, string> = {},
  status = 400,
) {
  const answer = await infer(server, 'attention', inputs, more, headers)
  expect(answer.status).toBe(status)
  expect(answer.headers.get('content-type')).toBe('application/problem+json')
  const { body } = answer
  expect(body).toMatchObject({ status, error: body.detail, request_id: answer.headers.get('x-request-id') })
  return body
}

describe('inputs', () => {
  it.each<[string, Input[], string, string]>([
    [
      'a size that is too large',
      [...BYTES.slice(0, 2), { ...bytes('v'), parameters: { binary_data_size: 12 } }],
      '/inputs/2/parameters/binary_data_size',
      'expected 8 bytes for FP32 [1, 2], got 12',
    ],
    [
      'a size that is too small',
      [...BYTES.slice(0, 2), { ...bytes('v'), parameters: { binary_data_size: 4 } }],
      '/inputs/2/parameters/binary_data_size',
      'expected 8 bytes for FP32 [1, 2], got 4',
    ],
    [
      'a negative size',
      [...BYTES.slice(0, 2), { ...bytes('v'), parameters: { binary_data_size: -8 } }],
      '/inputs/2/parameters/binary_data_size',
      'expected a number of at least 0, got number -8',
    ],
    [
      'a size that is no number',
      [...BYTES.slice(0, 2), { ...bytes('v'), parameters: { binary_data_size: '8' } }],
      '/inputs/2/parameters/binary_data_size',
      'expected a number, got string "8"',
    ],
    [
      'too few bytes',
      [...BYTES.slice(0, 2), { ...bytes('v'), bytes: float32(1), parameters: { binary_data_size: 8 } }],
      '/inputs/2/parameters/binary_data_size',
      'expected at least 24 bytes behind the JSON text, got 20',
    ],
    [
      'bytes that are nobody’s',
      [...BYTES.slice(0, 2), { ...bytes('v'), bytes: float32(1, 2, 3), parameters: { binary_data_size: 8 } }],
      '/inputs',
      'expected 24 bytes behind the JSON text, as the inputs’ binary_data_size say, got 28',
    ],
    [
      'bytes and data',
      [...BYTES.slice(0, 2), { ...bytes('v'), data: [1, 2] }],
      '/inputs/2/parameters/binary_data_size',
      'expected data or binary_data_size, got both',
    ],
    [
      'neither',
      third({ data: undefined }),
      '/inputs/2',
      'expected data or parameters.binary_data_size, got neither',
    ],
    [
      'memory of the server',
      third({ data: undefined, parameters: { shared_memory_region: 'x' } }),
      '/inputs/2/parameters/shared_memory_region',
      'expected no shared_memory_region: this server has no such extension',
    ],
    ['one name twice', [...TEXT, text('q')], '/inputs/3/name', 'expected one input "q", got two'],
    [
      'a name below another',
      [...TEXT, text('q.x')],
      '/inputs/3/name',
      'expected q.x once, got a parameter or another input in its place',
    ],
    [
      'a name of many levels',
      [...TEXT, text('a.'.repeat(16))],
      '/inputs/3/name',
      'expected a name of at most 16 levels',
    ],
    [
      'a long name',
      [...TEXT, text('a'.repeat(2000))],
      '/inputs/3/name',
      'expected a string of at most 1024 bytes, got a string of 2000 bytes',
    ],
    [
      'a name of JavaScript',
      [...TEXT, text('__proto__')],
      '/inputs/3/name',
      'expected no such field, got one',
    ],
    [
      'a name that nobody knows',
      [...TEXT, text('constructor')],
      '/inputs/3',
      'expected no such field, got one',
    ],
    [
      'no name',
      [{ ...text('q'), name: undefined } as never, ...TEXT.slice(1)],
      '/inputs/0/name',
      'expected a string of at most 1024 bytes, got nothing',
    ],
    [
      'an unknown datatype',
      third({ datatype: 'UINT8' }),
      '/inputs/2/datatype',
      'expected one of "FP64", "FP32", "FP16", "BF16", "BOOL", "INT32", "INT64", "BYTES", got string "UINT8"',
    ],
    [
      'a wrong datatype',
      third({ datatype: 'INT64' }),
      '/inputs/2',
      'expected numbers (FP64, FP32, FP16, BF16), got INT64',
    ],
    [
      'the datatype of another',
      [...TEXT, { name: 'kv_lengths', datatype: 'FP32', shape: [1], data: [1] }],
      '/inputs/3',
      'expected integers (INT32, INT64), got FP32',
    ],
    [
      'truths as numbers',
      third({ data: [true, false] }),
      '/inputs/2/data',
      'expected numbers (datatype FP32), got booleans',
    ],
    [
      'a number as a truth',
      [...TEXT, { name: 'mask', datatype: 'BOOL', shape: [1], data: [2] }],
      '/inputs/3/data/0',
      'expected true or false (or bytes 0 and 1), got 2',
    ],
    [
      'too few elements',
      third({ data: [1] }),
      '/inputs/2/data',
      'expected 2 elements for shape [1, 2], got 1',
    ],
    ['no elements', third({ data: [] }), '/inputs/2/data', 'expected 2 elements for shape [1, 2], got 0'],
    [
      'another nesting',
      third({ data: [[1], [2]] }),
      '/inputs/2/data',
      'expected a flat array, or one of shape [1, 2], got [2, 1]',
    ],
    [
      'strings',
      third({ data: ['a', 'b'] }),
      '/inputs/2/data',
      'expected an array of numbers or booleans, got an array of something else (string "a")',
    ],
    [
      'a string',
      third({ data: 'a' }),
      '/inputs/2/data',
      'expected an array of numbers or booleans, got string "a"',
    ],
    [
      'a NaN',
      third({ data: [1, 'NaN'] }),
      '/inputs/2/data/1',
      'expected finite numbers (or "non_finite":"propagate"), got "NaN"',
    ],
    [
      'an overflow',
      third({ data: [1, 1e39] }),
      '/inputs/2/data/1',
      'expected numbers that FP32 can hold, got 1e+39',
    ],
    [
      'no shape',
      third({ shape: undefined }),
      '/inputs/2/shape',
      'expected an array of at most 8 non-negative integers, got nothing',
    ],
    [
      'a negative extent',
      third({ shape: [1, -2] }),
      '/inputs/2/shape/1',
      'expected a non-negative integer, got number -2',
    ],
    [
      'an extent that is none',
      third({ shape: [1, 0.5] }),
      '/inputs/2/shape/1',
      'expected a non-negative integer, got number 0.5',
    ],
    [
      'many axes',
      third({ shape: [1, 1, 1, 1, 1, 1, 1, 1, 2] }),
      '/inputs/2/shape',
      'expected an array of at most 8 non-negative integers, got an array of numbers of shape [9]',
    ],
    [
      'an immense shape',
      third({ shape: [2 ** 30, 2 ** 30] }),
      '/inputs/2/shape/1',
      'expected at most 1024 beside the extents before it, got 1073741824',
    ],
    ['a shape that does not fit', third({ shape: [1, 1, 2], data: [1, 2] }), '/inputs/2/shape', ''],
    ['one too few', TEXT.slice(0, 2), '/inputs', 'expected an input v, got none'],
    ['none', [], '/inputs', 'expected an input q, got none'],
  ])('%s', async (_, inputs, path, message) => {
    const { errors } = await refused(inputs)
    const at = errors.find((error: { path: string }) => error.path === path)
    expect(at, JSON.stringify(errors)).toBeDefined()
    if (message !== '') expect(at.message).toBe(message)
  })
})

describe('parameters', () => {
  it.each<[string, object, string, string]>([
    ['an unknown one', { causl: true }, '/parameters/causl', 'expected no such field, got one'],
    ['a wrong one', { causal: 'yes' }, '/parameters/causal', ''],
    [
      'a nested one',
      { window: { left: 1 } },
      '/parameters/window',
      'expected a string, a number or a boolean (nested options go as JSON text into `request`), got an object',
    ],
    ['a list', { q_lengths: [1] }, '/parameters/q_lengths', ''],
    [
      'binary_data_output that is no truth',
      { binary_data_output: 1 },
      '/parameters/binary_data_output',
      'expected a boolean, got something else',
    ],
    [
      'a timeout that is none',
      { timeout: 'soon' },
      '/parameters/timeout',
      'expected a number of microseconds, got something else',
    ],
    [
      'return',
      { request: '{"return":["weights"]}' },
      '/parameters/request',
      'expected no return: the outputs that are asked for say it here',
    ],
    [
      'encoding',
      { encoding: 'flat' },
      '/parameters/encoding',
      'expected no encoding: binary_data of an output say it here',
    ],
    [
      'request that is no text',
      { request: 1 },
      '/parameters/request',
      'expected the JSON text of an object, got something else',
    ],
    [
      'request that is no JSON',
      { request: '{' },
      '/parameters/request',
      'at byte 1: expected a key in quotes, got the end',
    ],
    [
      'request that is no object',
      { request: '[1]' },
      '/parameters/request',
      'expected the JSON text of an object, got another value',
    ],
    [
      'request with something wrong',
      { request: '{"window":{"left":-1}}' },
      '/parameters/request',
      'at /window/left: expected a number of at least 0, got number -1',
    ],
    [
      'one that request has too',
      { causal: true, request: '{"causal":true}' },
      '/parameters/causal',
      'expected causal once, got it in the parameter request too',
    ],
    ['one that an input is', { mask: true }, '/parameters/mask', ''],
    ['a number that is none', { scale: '1' }, '/parameters/scale', 'expected a number, got string "1"'],
  ])('%s', async (_, parameters, path, message) => {
    const { errors } = await refused(TEXT, { parameters })
    const at = errors.find((error: { path: string }) => error.path === path)
    expect(at, JSON.stringify(errors)).toBeDefined()
    if (message !== '') expect(at.message).toBe(message)
  })

  it('a request of many bytes, escapes and all', async () => {
    const spaces = '\n "\\u0063ausal": true}'.padStart(3000)
    const request = `{${spaces}`
    const answer = await infer(server, 'attention', TEXT, { parameters: { request } })
    expect(answer.status).toBe(200)
    const { errors } = await refused(TEXT, { parameters: { request: request.padEnd((1 << 20) + 1) } })
    expect(errors[0].message).toBe('expected at most 1048576 bytes, got 1048577')
  })
})

describe('outputs', () => {
  it.each<[string, object[], string, string]>([
    ['an unknown one', [{ name: 'bogus' }], '/outputs/0/name', ''],
    [
      'one of a layer that is not there',
      [{ name: 'output' }, { name: 'layers.0.weights' }],
      '/outputs/1/name',
      'expected one of output, weights, got layers.0.weights',
    ],
    [
      'a gradient of nothing',
      [{ name: 'grads.q' }],
      '/outputs/0/name',
      'expected an input backward.grad_output or backward.target, or backward in the parameter request beside grads.q, got none',
    ],
    [
      'one twice',
      [{ name: 'output' }, { name: 'output' }],
      '/outputs/1/name',
      'expected output once, got it twice',
    ],
    [
      'binary_data that is no truth',
      [{ name: 'output', parameters: { binary_data: 1 } }],
      '/outputs/0/parameters/binary_data',
      'expected a boolean, got number 1',
    ],
    [
      'a classification',
      [{ name: 'output', parameters: { classification: 2 } }],
      '/outputs/0/parameters/classification',
      'expected no classification: this server has no such extension',
    ],
    ['no name', [{}], '/outputs/0/name', 'expected a string of at most 1024 bytes, got nothing'],
  ])('%s', async (_, outputs, path, message) => {
    const { errors } = await refused(TEXT, { outputs })
    expect(errors[0].path).toBe(path)
    if (message !== '') expect(errors[0].message).toBe(message)
  })

  it('an unknown gradient beside backward', async () => {
    const { errors } = await refused([...TEXT, text('backward.target')], { outputs: [{ name: 'grads.x' }] })
    expect(errors[0]).toEqual({
      path: '/outputs/0/name',
      message: 'expected one of grads.q, grads.k, grads.v, got grads.x',
    })
  })
})

describe('the header', () => {
  const length = (value: string) => ({ 'inference-header-content-length': value })

  it('beyond the body', async () => {
    const { detail } = await refused(TEXT, {}, length('100000'))
    expect(detail).toMatch(/^expected a body of at least 100000 bytes .*, got \d+$/)
  })

  it.each(['-1', 'x', '1.5', '0x10', '99999999999999999999'])('that is %s', async value => {
    const { detail } = await refused(BYTES, {}, length(value))
    expect(detail).toContain('inference-header-content-length')
  })

  it('too small or too large by one, or none', async () => {
    const { body, text } = write(BYTES)
    for (const value of [0, text - 1, text + 1]) {
      const answer = await send(server, INFER, body, length(String(value)))
      expect(answer).toMatchObject({ status: 400, body: { code: 'INVALID_JSON' } })
    }
    expect(await send(server, INFER, body)).toMatchObject({ status: 400, body: { code: 'INVALID_JSON' } })
    const alone = await send(server, INFER, body.subarray(0, text))
    expect(alone.body.error).toContain('the header Inference-Header-Content-Length says where they begin')
  })
})

it('bodies that are no object, or nothing', async () => {
  for (const body of ['[]', 'null', '1', '"a"', '{"inputs":{}}', '{"inputs":[1]}', '{"inputs":null}', '{}']) {
    const answer = await send(server, INFER, body)
    expect(answer.status, body).toBe(400)
    expect(answer.body.error).toMatch(/expected/)
  }
  expect((await send(server, INFER, undefined)).status).toBe(400)
})

it('answers what has been mutated with 200 or a 4xx', async () => {
  const more = {
    id: 'a',
    parameters: { causal: true, request: '{"scale":2}' },
    outputs: [{ name: 'weights' }],
  }
  const whole = write([...BYTES.slice(0, 2), text('v')], more)
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.nat(whole.body.length - 1), fc.nat(255)), { minLength: 1, maxLength: 3 }),
      fc.integer({ min: -2, max: 2 }),
      async (changes, shift) => {
        const body = Buffer.from(whole.body)
        for (const [at, byte] of changes) body[at] = byte
        const headers = { 'inference-header-content-length': String(whole.text + shift) }
        const { status } = await send(server, INFER, body, headers)
        expect([200, 400, 413]).toContain(status)
      },
    ),
    { numRuns: 300 },
  )
})

it('keeps nothing of all this', async () => {
  expect(await settled(server, usedBytes)).toBe(usedBytes)
  expect((await infer(server, 'attention', BYTES)).status).toBe(200)
})
