/** Checkpoints of MODELS_DIR as models of /v2: the bits of /v1/models, under the protocol's usual names. */
import { expect, it } from 'vitest'
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
  expect(await infer(server, 'none', [ids])).toMatchObject({ status: 404, body: { error: 'no model none' } })
})
