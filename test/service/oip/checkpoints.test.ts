/** Checkpoints of MODELS_DIR as models of /v2: the bits of /v1/models, under the protocol's usual names. */
import { describe, expect, it } from 'vitest'
import { forward, MODELS, readFixture } from '../models/fixture.ts'
import { startServer } from '../server.ts'
import { type Input, infer, send } from './message.ts'

const server = await startServer({ MODELS_DIR: MODELS })
const get = (path: string) => send(server, path, undefined, {}, 'GET')

const DATATYPES: Record<string, string> = { I32: 'INT32', I64: 'INT64' }

function tokensOf(name: string): Input[] {
  const { tensors } = readFixture(name)
  return ['token_ids', 'attention_mask'].map(each => {
    const { dtype, shape, data } = tensors[each]
    return { name: each, datatype: DATATYPES[dtype], shape, bytes: data }
  })
}

it('are listed and described beside the endpoints', async () => {
  const { body } = await get('/v2/models')
  expect(body.models).toEqual(expect.arrayContaining(['attention', 'bert', 't5']))
  const bert = (await get('/v2/models/bert/versions/1')).body
  expect(bert).toMatchObject({ name: 'bert', versions: ['1'], platform: 'huggingface_safetensors' })
  expect(bert.inputs).toEqual([{ name: 'token_ids', datatype: 'INT64', shape: [-1, -1] }])
  expect(bert.outputs[0].name).toBe('last_hidden_state')
  expect((await get('/v2/models/bert/ready')).body).toEqual({ name: 'bert', ready: true })
  const index = (await send(server, '/v2/repository/index', undefined)).body
  expect(index).toContainEqual({ name: 'gpt2', version: '1', state: 'READY', reason: '' })
})

it('answer hidden states, maps, logits and vectors with the bits of /v1/models', async () => {
  const expected = await forward(server, readFixture('gpt2'), {
    return: ['output', 'weights', 'hidden', 'logits', 'embedding'],
  })
  const last = Object.keys(expected.tensors).filter(name => /^layers\.\d+\.weights$/.test(name)).length - 1
  const names: Record<string, string> = {
    [`weights.${last}`]: `layers.${last}.weights`,
    last_hidden_state: 'output',
    'hidden.1': 'hidden.1',
    logits: 'logits',
    embedding: 'embedding',
  }
  const { body, outputs } = await infer(server, 'gpt2', tokensOf('gpt2'), {
    parameters: { binary_data_output: true },
    outputs: Object.keys(names).map(name => ({ name })),
  })
  expect(body).not.toHaveProperty('parameters')
  for (const [name, from] of Object.entries(names)) {
    expect(outputs[name].bytes, name).toEqual(Buffer.from(expected.tensors[from].data))
  }
  const alone = await infer(server, 'gpt2', tokensOf('gpt2'))
  expect(Object.keys(alone.outputs)).toEqual(['last_hidden_state'])
  const { body: stats } = await get('/v2/models/gpt2/stats')
  expect(stats.model_stats[0]).toMatchObject({ execution_count: 2, inference_count: 4 })
})

it('answer what stands behind an encoder, and probable tokens as JSON text', async () => {
  const { body, outputs } = await infer(server, 't5', tokensOf('t5'), {
    outputs: [
      { name: 'encoder.last_hidden_state' },
      { name: 'encoder.weights.0' },
      { name: 'cross_weights.0' },
    ],
    parameters: { request: '{"next_tokens":{"top":2}}' },
  })
  expect(Object.keys(outputs)).toHaveLength(3)
  expect(JSON.parse(body.parameters.next_tokens).ids[0]).toHaveLength(2)
})

it('are configured as Triton’s clients ask it', async () => {
  for (const path of ['/v2/models/bert/config', '/v2/models/bert/versions/1/config']) {
    expect((await get(path)).body).toMatchObject({
      name: 'bert',
      platform: 'huggingface_safetensors',
      max_batch_size: 0,
      input: [
        { name: 'token_ids', data_type: 'TYPE_INT64', dims: [-1, -1] },
        { name: 'text', data_type: 'TYPE_STRING', dims: [-1], optional: true },
        { name: 'text_pair', data_type: 'TYPE_STRING', dims: [-1], optional: true },
      ],
      output: [{ name: 'last_hidden_state', data_type: 'TYPE_FP32' }],
      parameters: { family: { string_value: 'bert' } },
    })
  }
  expect((await get('/v2')).body.extensions).toContain('model_configuration')
  expect((await get('/v2/models/none/config')).status).toBe(404)
})

/** Each behind its length. */
const prefixed = (...texts: (string | Buffer)[]) =>
  Buffer.concat(
    texts.flatMap(text => {
      const length = Buffer.alloc(4)
      length.writeUInt32LE(Buffer.byteLength(text))
      return [length, Buffer.from(text)]
    }),
  )

describe('texts as BYTES', () => {
  const TEXTS = ['the cat sat', 'a naïve dog', 'NaN']
  const outputs = [{ name: 'last_hidden_state' }, { name: 'weights.0' }]
  const parameters = { binary_data_output: true }
  const text = (more: object): Input => ({ name: 'text', datatype: 'BYTES', shape: [TEXTS.length], ...more })

  it.each([
    ['in JSON', text({ data: TEXTS })],
    ['in a column', text({ shape: [TEXTS.length, 1], data: TEXTS.map(each => [each]) })],
    ['behind their lengths', text({ bytes: prefixed(...TEXTS) })],
  ])('%s have the bits of the list of texts at /v1/models', async (_, input) => {
    const { body, outputs: found } = await infer(server, 'bert', [input], { outputs, parameters })
    const sent = await fetch(`${server.url}/v1/models/bert/forward`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ text: TEXTS, layers: [0], return: ['output', 'weights'], encoding: 'base64' }),
    })
    const expected = (await sent.json()) as {
      output: { base64: string }
      layers: { weights: { base64: string } }[]
      tokens: object
    }
    expect(found.last_hidden_state.bytes?.toString('base64')).toBe(expected.output.base64)
    expect(found['weights.0'].bytes?.toString('base64')).toBe(expected.layers[0].weights.base64)
    expect(JSON.parse(body.parameters.tokens)).toEqual(expected.tokens)
  })

  it('that look like numbers are texts, and pairs go beside them', async () => {
    const both = [
      text({ shape: [1], data: ['NaN'] }),
      { ...text({ shape: [1], data: ['Infinity'] }), name: 'text_pair' },
    ]
    const { status, body } = await infer(server, 'bert', both)
    expect(status).toBe(200)
    expect(JSON.parse(body.parameters.tokens).strings[0].join(' ')).toMatch(/\[SEP\] .*\[SEP\]/)
  })

  it.each([
    ['numbers', text({ data: [1, 2, 3] }), '/inputs/0/data/0', 'expected a string'],
    ['too few', text({ data: ['a'] }), '/inputs/0/data', 'expected 3 strings, as the shape says, got 1'],
    ['no array', text({ data: 'a' }), '/inputs/0/data', 'expected an array of strings'],
    ['none', text({}), '/inputs/0', 'got neither'],
    [
      'cut off',
      text({ bytes: prefixed(...TEXTS).subarray(0, -1) }),
      '/inputs/0/parameters/binary_data_size',
      'text 2',
    ],
    [
      'too many bytes',
      text({ shape: [2], bytes: prefixed(...TEXTS) }),
      '/inputs/0/parameters/binary_data_size',
      'for 2 texts',
    ],
    ['too few bytes', text({ bytes: prefixed('a') }), '/inputs/0/parameters/binary_data_size', 'got 1'],
    [
      'no UTF-8',
      text({ shape: [1], bytes: prefixed(Buffer.from([0xff])) }),
      '/inputs/0/parameters/binary_data_size',
      'UTF-8',
    ],
    [
      'another datatype',
      text({ datatype: 'INT32', data: [1, 2, 3] }),
      '/inputs/0/datatype',
      'expected BYTES for text',
    ],
    [
      'another name',
      { ...text({ data: TEXTS }), name: 'token_ids' },
      '/inputs/0/datatype',
      'text and text_pair alone have',
    ],
    ['none of them', text({ shape: [0], data: [] }), '/inputs/0', 'expected at least one text'],
  ])('%s are refused', async (_, input, path, says) => {
    const { status, body } = await infer(server, 'bert', [input])
    expect({ status, path: body.errors[0].path }).toEqual({ status: 400, path })
    expect(body.error).toContain(says)
  })

  it('and no endpoint has any', async () => {
    const { status, body } = await infer(server, 'attention', [{ ...text({ data: TEXTS }), name: 'q' }])
    expect(status).toBe(400)
    expect(body.error).toContain('which no input of this model has')
  })
})

it('compute the layers that outputs are of, in whatever order they are asked for', async () => {
  const expected = await forward(server, readFixture('gpt2'), { return: ['weights', 'entropy'] })
  const names = ['weights.1', 'entropy.0', 'weights.0']
  const { outputs } = await infer(server, 'gpt2', tokensOf('gpt2'), {
    parameters: { binary_data_output: true },
    outputs: names.map(name => ({ name })),
  })
  for (const name of names) {
    const [map, layer] = name.split('.')
    expect(outputs[name].bytes, name).toEqual(Buffer.from(expected.tensors[`layers.${layer}.${map}`].data))
  }
})

it('refuse what is wrong in the protocol’s own terms', async () => {
  const none = await infer(server, 'bert', [])
  expect(none).toMatchObject({ status: 400 })
  expect(none.body.error).toContain('expected text or token_ids')
  const [ids] = tokensOf('bert')
  const beyond = await infer(server, 'bert', [
    { ...ids, bytes: undefined, shape: [1, 1], data: [1e6] } as Input,
  ])
  expect(beyond).toMatchObject({ status: 400 })
  expect(beyond.body.errors[0].path).toMatch(/^\/inputs\/0/)
  const far = await infer(server, 'bert', [ids], { outputs: [{ name: 'weights.99' }] })
  expect(far).toMatchObject({ status: 400, body: { errors: [{ path: '/outputs/0/name' }] } })
  expect(far.body.error).toContain('got 99')
  expect(await infer(server, 'none', [ids])).toMatchObject({ status: 404, body: { error: 'no model none' } })
})
