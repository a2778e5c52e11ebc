/** Inference at /v2: the same bits as /v1, in every form of the protocol. */
import { createHash } from 'node:crypto'
import { deflateSync, gzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { INFERENCE_EXAMPLE } from '../../../src/http/docs/inference-paths.ts'
import {
  InferenceAnswer,
  ModelHealth,
  ModelList,
  ModelMetadata,
  RepositoryIndexAnswer,
  ServerHealth,
  ServerMetadata,
  StatisticsAnswer,
} from '../../../src/http/oip/schema.ts'
import { readFile } from '../safetensors-file.ts'
import { post, SAFETENSORS_TYPE, settled, startServer } from '../server.ts'
import { bits, float32, type Input, infer, send, write } from './message.ts'

const server = await startServer()
const { usedBytes } = server.app.engine.arena

const numbers = (count: number, seed: number) =>
  Array.from({ length: count }, (_, index) => Math.fround(Math.sin(seed + 1.7 * index)))

/** The answer of /v1 as raw bytes. */
async function truth(path: string, request: object) {
  const response = await fetch(`${server.url}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: SAFETENSORS_TYPE },
    body: JSON.stringify(request),
  })
  expect(response.status).toBe(200)
  return readFile(Buffer.from(await response.arrayBuffer()))
}

const SHAPE = [1, 2, 5, 4]
const VALUES = { q: numbers(40, 1), k: numbers(40, 2), v: numbers(40, 3) }
const asText = (name: string, data: number[], shape = SHAPE): Input => ({
  name,
  datatype: 'FP32',
  shape,
  data,
})
const asBytes = (name: string, data: number[], shape = SHAPE): Input => ({
  name,
  datatype: 'FP32',
  shape,
  bytes: float32(...data),
})
const flat = (data: number[], shape = SHAPE) => ({ shape, dtype: 'float32', data })
const qkv = (form = asText) => Object.entries(VALUES).map(([name, data]) => form(name, data))
const QKV = Object.fromEntries(Object.entries(VALUES).map(([name, data]) => [name, flat(data)]))

describe('attention', () => {
  it.each([
    ['text', asText, false],
    ['bytes', asBytes, true],
  ])('gives the bits of /v1 with everything asked for, as %s', async (_, form, binary) => {
    const target = numbers(40, 4)
    const expected = await truth('/v1/attention', {
      ...QKV,
      causal: 'bottom_right',
      scale: 0.3,
      window: { left: 2 },
      return: ['output', 'weights', 'logsumexp'],
      backward: { target: flat(target), entropy_weight: 0.1 },
    })
    const names = ['grads.v', 'weights', 'output', 'logsumexp', 'grads.q', 'grads.k']
    const { status, body, outputs } = await infer(
      server,
      'attention',
      [...qkv(form), form('backward.target', target)],
      {
        id: 'a',
        outputs: names.map(name => ({ name, parameters: { binary_data: binary } })),
        parameters: {
          causal: 'bottom_right',
          scale: 0.3,
          request: JSON.stringify({ window: { left: 2 }, backward: { entropy_weight: 0.1 } }),
        },
      },
    )
    expect(status).toBe(200)
    expect(body).toMatchObject({ model_name: 'attention', model_version: '1', id: 'a' })
    expect(Object.keys(outputs)).toEqual(names)
    expect(body.parameters).toEqual(expected.response)
    for (const name of names) {
      const { shape, data } = expected.tensors[name]
      expect(outputs[name]).toMatchObject({ datatype: 'FP32', shape })
      expect(bits(outputs[name]), name).toEqual(Buffer.from(data))
    }
  })

  it('answers output alone where nothing is asked for, as text unless the request says bytes', async () => {
    const text = await infer(server, 'attention', qkv())
    expect(text.body.outputs.map(({ name }: { name: string }) => name)).toEqual(['output'])
    expect(text.headers.get('content-type')).toBe('application/json')
    expect(text.body).not.toHaveProperty('id')
    const parameters = { binary_data_output: true }
    const bytes = await infer(server, 'attention', qkv(), { parameters })
    expect(bytes.headers.get('content-type')).toBe('application/octet-stream')
    expect(bits(bytes.outputs.output)).toEqual(bits(text.outputs.output))
    const named = await infer(server, 'attention', qkv(), { parameters, outputs: [{ name: 'weights' }] })
    expect(Object.keys(named.outputs)).toEqual(['weights'])
    expect(named.outputs.weights.bytes).toBeDefined()
  })

  it('takes text beside bytes, and answers so', async () => {
    const { outputs } = await infer(
      server,
      'attention',
      [asBytes('v', VALUES.v), asText('q', VALUES.q), asBytes('k', VALUES.k)],
      { outputs: [{ name: 'output', parameters: { binary_data: true } }, { name: 'weights' }] },
    )
    const expected = await truth('/v1/attention', { ...QKV, return: ['output', 'weights'] })
    expect(outputs.output.bytes).toEqual(Buffer.from(expected.tensors.output.data))
    expect(outputs.weights.data).toHaveLength(50)
    expect(bits(outputs.weights)).toEqual(Buffer.from(expected.tensors.weights.data))
  })

  it('answers more than a window of text beside more than a chunk of bytes', async () => {
    const shape = [1, 1, 300, 2]
    const tensors = { q: numbers(600, 1), k: numbers(600, 2), v: numbers(600, 3) }
    const inputs = Object.entries(tensors).map(([name, data]) => asBytes(name, data, shape))
    const outputs = ['weights', 'scores', 'masked_scores'].map((name, index) => ({
      name,
      parameters: { binary_data: index === 1 },
    }))
    const found = await infer(server, 'attention', inputs, { outputs })
    const { body: expected } = await post(server, '/v1/attention', {
      ...Object.fromEntries(Object.entries(tensors).map(([name, data]) => [name, flat(data, shape)])),
      return: ['weights', 'scores'],
    })
    expect(found.outputs.weights.data).toEqual(expected.weights.flat(3))
    const scores = Float32Array.from(expected.scores.flat(3))
    expect(found.outputs.scores.bytes).toEqual(Buffer.from(scores.buffer))
    // a packed answer comes as it is packed
    const { headers } = found
    expect(headers.get('content-encoding') ?? headers.get('content-length')).not.toBeNull()
    const text = await infer(server, 'attention', inputs, { outputs: [{ name: 'weights' }] })
    expect(text.outputs.weights.data).toEqual(found.outputs.weights.data)
  })

  it.each([
    ['FP64', new Float64Array(VALUES.q), 'float64'],
    ['FP32', new Float32Array(VALUES.q), 'float32'],
    ['FP16', new Float16Array(VALUES.q), 'float16'],
    [
      'BF16',
      Uint16Array.from(VALUES.q, x => new Uint32Array(Float32Array.of(x).buffer)[0] >>> 16),
      'bfloat16',
    ],
  ])('reads %s as bytes', async (datatype, q, dtype) => {
    const bytes = new Uint8Array(q.buffer)
    const given = [{ name: 'q', datatype, shape: SHAPE, bytes }, ...qkv(asBytes).slice(1)]
    const base64 = Buffer.from(bytes).toString('base64')
    const expected = await truth('/v1/attention', {
      ...QKV,
      q: { shape: SHAPE, dtype, base64 },
      output_dtype: dtype,
    })
    const parameters = { output_dtype: dtype, binary_data_output: true }
    const { outputs } = await infer(server, 'attention', given, { parameters })
    expect(outputs.output).toMatchObject({ datatype, shape: SHAPE })
    expect(outputs.output.bytes).toEqual(Buffer.from(expected.tensors.output.data))
    const text = await infer(server, 'attention', given, { parameters: { output_dtype: dtype } })
    expect(text.outputs.output.data).toHaveLength(40)
  })

  it('reads FP16 and BF16 as text, BOOL masks, INT32 and INT64', async () => {
    const halves = [0.5, -1.5]
    const q: Input = { name: 'q', datatype: 'BF16', shape: [1, 2], data: halves }
    const k: Input = { name: 'k', datatype: 'FP16', shape: [1, 2], data: [halves] }
    const v: Input = { name: 'v', datatype: 'FP64', shape: [1, 2], data: [0.1, 0.2] }
    const { outputs } = await infer(server, 'attention', [q, k, v])
    expect(outputs.output.data).toEqual([0.1, 0.2])
    const mask: Input[] = [
      { name: 'mask', datatype: 'BOOL', shape: [5], data: [true, true, false, true, true] },
      { name: 'mask', datatype: 'BOOL', shape: [5], bytes: Uint8Array.of(1, 1, 0, 1, 1) },
    ]
    const lengths: Input[] = [
      { name: 'kv_lengths', datatype: 'INT32', shape: [1], data: [4] },
      {
        name: 'kv_lengths',
        datatype: 'INT64',
        shape: [1],
        bytes: new Uint8Array(BigInt64Array.of(4n).buffer),
      },
    ]
    const expected = await truth('/v1/attention', {
      ...QKV,
      mask: [true, true, false, true, true],
      kv_lengths: [4],
    })
    for (const index of [0, 1]) {
      const { outputs } = await infer(server, 'attention', [...qkv(), mask[index], lengths[index]])
      expect(bits(outputs.output)).toEqual(Buffer.from(expected.tensors.output.data))
    }
  })

  it('writes NaN and infinities as strings, and reads them as strings and bare', async () => {
    const tensors = ['q', 'k'].map(name => `{"name":"${name}","datatype":"FP32","shape":[1,1],"data":[1]}`)
    for (const data of [
      '["NaN","Infinity","-Infinity",1]',
      '[NaN, Infinity, -Infinity, 1]',
      '[[1, NaN, -Infinity, Infinity]]',
    ]) {
      const v = `{"name":"v","datatype":"FP32","shape":[1,4],"data":${data}}`
      const text = `{"id":"NaN \\" Infinity","inputs":[${tensors},${v}],"parameters":{"non_finite":"propagate"}}`
      const { status, body } = await send(server, '/v2/models/attention/infer', text)
      expect(status).toBe(200)
      expect(body.id).toBe('NaN " Infinity')
      expect(new Set(body.outputs[0].data)).toEqual(new Set(['NaN', 'Infinity', '-Infinity', 1]))
      const refused = await send(server, '/v2/models/attention/infer', text.replace('propagate', 'reject'))
      expect(refused.status).toBe(400)
      expect(refused.body.code).toBe('NON_FINITE')
      expect(refused.body.errors[0].path).toMatch(/^\/inputs\/2\/data\/(0\/)?[01]$/)
    }
    // a float mask's −∞, behind a text of many pieces
    const shape = [1, 20_000]
    const row = JSON.stringify(numbers(20_000, 1)).replace('[', '[-Infinity, ')
    const mask = `{"name":"mask","datatype":"FP32","shape":[1,20001],"data":${row}}`
    const [q, k, v] = ['q', 'k', 'v'].map(name => {
      const rows = name === 'q' ? 1 : shape[1] + 1
      return `{"name":"${name}","datatype":"FP32","shape":[${rows},1],"data":${JSON.stringify(numbers(rows, 2))}}`
    })
    const { status, body } = await send(
      server,
      '/v2/models/attention/infer',
      `{"inputs":[${q},${k},${v},${mask}],"outputs":[{"name":"weights"}]}`,
    )
    expect(status).toBe(200)
    expect(body.outputs[0].data[0]).toBe(0)
    const bare = await post(server, '/v1/attention', '{"q":[[NaN]],"k":[[1]],"v":[[1]]}')
    expect(bare).toMatchObject({ status: 400, body: { code: 'INVALID_JSON' } })
  })

  it('answers tensors without elements, as bytes without the header', async () => {
    const shape = [0, 2, 5, 4]
    const none: Input[] = [
      { name: 'q', datatype: 'FP32', shape, bytes: new Uint8Array(0) },
      { name: 'k', datatype: 'FP32', shape, data: null, parameters: { binary_data_size: 0 } },
      { name: 'v', datatype: 'FP32', shape, data: [] },
    ]
    const parameters = { binary_data_output: true }
    const { headers, outputs } = await infer(server, 'attention', none, { parameters })
    expect(headers.get('inference-header-content-length')).toBeNull()
    expect(headers.get('content-type')).toBe('application/json')
    expect(outputs.output).toMatchObject({ shape, parameters: { binary_data_size: 0 } })
    const text = await infer(server, 'attention', none)
    expect(text.outputs.output.data).toEqual([])
  })

  it('takes whatever type, or none, and a header in any case up to the whole body', async () => {
    for (const type of ['application/json', 'application/octet-stream', 'Application/JSON; charset=utf-8']) {
      expect((await infer(server, 'attention', qkv(asBytes), {}, { 'content-type': type })).status).toBe(200)
    }
    const text = JSON.stringify({ inputs: qkv(), model_name: 'attention', whatever: [1] })
    const headers = { 'Inference-Header-Content-Length': String(text.length) }
    expect((await send(server, '/v2/models/attention/versions/1/infer', text, headers)).status).toBe(200)
    const other = { 'content-type': 'text/plain' }
    expect(await infer(server, 'attention', qkv(), {}, other)).toMatchObject({ status: 415 })
  })

  it('gives the digest of text and bytes together, and takes packed bodies', async () => {
    const { body, text } = write(qkv(asBytes), { parameters: { binary_data_output: true } })
    for (const [coding, packed] of [
      ['gzip', gzipSync(body)],
      ['deflate', deflateSync(body)],
    ] as const) {
      const response = await fetch(`${server.url}/v2/models/attention/infer`, {
        method: 'POST',
        headers: {
          'content-encoding': coding,
          'inference-header-content-length': String(text),
          'want-repr-digest': 'sha-256=1',
        },
        body: new Uint8Array(packed),
      })
      const answer = Buffer.from(await response.arrayBuffer())
      const hash = createHash('sha256').update(answer).digest('base64')
      expect([response.status, response.headers.get('repr-digest')]).toEqual([200, `sha-256=:${hash}:`])
    }
  })

  it('ignores what is Triton’s own, and keeps to its timeout', async () => {
    const parameters = {
      sequence_id: 1,
      sequence_start: true,
      sequence_end: true,
      priority: 3,
      triton_x: 'y',
      headers: 'z',
    }
    const all = await infer(server, 'attention', qkv(), { parameters: { ...parameters, timeout: 6e7 } })
    expect(all.status).toBe(200)
    const shape = [1, 8, 3000, 64]
    const large = ['q', 'k', 'v'].map(name => ({
      name,
      datatype: 'FP32',
      shape,
      bytes: new Uint8Array(4 * 8 * 3000 * 64),
    }))
    const late = await infer(server, 'attention', large, { parameters: { timeout: 1 } })
    expect(late).toMatchObject({ status: 504, body: { code: 'DEADLINE_EXCEEDED' } })
  })
})

it('the example of the document answers as documented, and so does all else', async () => {
  const { request, response } = INFERENCE_EXAMPLE
  const { status, body } = await send(server, '/v2/models/attention/infer', JSON.stringify(request))
  expect({ status, body }).toEqual({ status: 200, body: response })
  expect(InferenceAnswer.safeParse(body).error).toBeUndefined()
  for (const [path, schema] of [
    ['/v2', ServerMetadata],
    ['/v2/models', ModelList],
    ['/v2/models/attention', ModelMetadata],
    ['/v2/models/attention/ready', ModelHealth],
    ['/v2/health/live', ServerHealth],
    ['/v2/models/stats', StatisticsAnswer],
  ] as const) {
    const answer = await send(server, path, undefined, {}, 'GET')
    expect(schema.safeParse(answer.body).error, path).toBeUndefined()
  }
  const index = await send(server, '/v2/repository/index', undefined)
  expect(RepositoryIndexAnswer.safeParse(index.body).error).toBeUndefined()
})

describe('layers', () => {
  const x = numbers(24, 5)
  const init = { scheme: 'xavier_uniform', seed: 3 }

  it('multi-head-attention gives the bits of /v1, its parameters by name', async () => {
    const given = await truth('/v1/multi-head-attention', {
      x: flat(x, [2, 3, 4]),
      heads: 2,
      init,
      return: ['output', 'weights', 'params'],
      backward: { grad_output: flat(numbers(24, 6), [2, 3, 4]) },
    })
    const params = ['w_q', 'w_k', 'w_v', 'w_o'].map(name => {
      const { shape, data } = given.tensors[`params.${name}`]
      return { name: `params.${name}`, datatype: 'FP32', shape, bytes: data }
    })
    const names = ['output', 'weights', 'grads.x', 'grads.params.w_o']
    const { outputs } = await infer(
      server,
      'multi-head-attention',
      [asBytes('x', x, [2, 3, 4]), ...params, asBytes('backward.grad_output', numbers(24, 6), [2, 3, 4])],
      { parameters: { heads: 2, binary_data_output: true }, outputs: names.map(name => ({ name })) },
    )
    for (const name of names) expect(outputs[name].bytes, name).toEqual(Buffer.from(given.tensors[name].data))
  })

  it('transformer gives the bits of /v1, layer by layer', async () => {
    const stack = { layers: 2, d_model: 4, heads: 2, d_ff: 8, init, causal: true }
    const given = await truth('/v1/transformer', {
      x: flat(x, [2, 3, 4]),
      stack,
      return: ['output', 'weights', 'entropy', 'params', 'present'],
    })
    const inner = Object.entries(given.tensors).filter(([name]) => name.startsWith('params.'))
    const params = inner.map(([name, { shape, data }]) => ({
      name: `stack.${name}`,
      datatype: 'FP32',
      shape,
      bytes: data,
    }))
    const { init: _, ...plain } = stack
    const names = ['layers.1.weights', 'output', 'layers.0.entropy', 'present.layers.1.k']
    const { body, outputs } = await infer(server, 'transformer', [asBytes('x', x, [2, 3, 4]), ...params], {
      parameters: { binary_data_output: true, request: JSON.stringify({ stack: plain }) },
      outputs: names.map(name => ({ name })),
    })
    expect(body.outputs?.map(({ name }: { name: string }) => name)).toEqual(names)
    for (const name of names) expect(outputs[name].bytes, name).toEqual(Buffer.from(given.tensors[name].data))
  })
})

it('gives all of its memory back', async () => {
  expect(await settled(server, usedBytes)).toBe(usedBytes)
})
