/** Runs of models over the stream as any other runs: credit, cancelling, going on elsewhere, kept maps, and what is wrong with a message. */
import { describe, expect, it } from 'vitest'
import { settled, startServer } from '../server.ts'
import { type Message, StreamClient } from '../stream-client.ts'
import { MODELS } from './fixture.ts'

const server = await startServer({ MODELS_DIR: MODELS })
const start = { type: 'start', id: 'a', model: 'gpt2', text: "The cat didn't cross" }
const without = ({ timing: _, ...frame }: Message) => frame
/** in the order of the program */
const frames = (client: StreamClient) =>
  client.messages.filter(({ type }) => type === 'layer' || type === 'token').map(without)

describe('messages that are wrong', () => {
  const goOn = (resume: object) => ({ ...start, generate: { max_new_tokens: 2 }, resume })
  const wrong: [string, object, string, string][] = [
    ['a model that is not there', { ...start, model: 'nothing' }, 'MODEL_NOT_FOUND', '/model'],
    ['a model that is a path', { ...start, model: '../models/gpt2' }, 'MODEL_NOT_FOUND', '/model'],
    ['a model that is no text', { ...start, model: 7 }, 'INVALID_REQUEST', '/model'],
    [
      'a stack beside it',
      { ...start, stack: { layers: 1, heads: 1, init: {} } },
      'INVALID_REQUEST',
      '/stack',
    ],
    ['x beside it', { ...start, x: [[1]] }, 'INVALID_REQUEST', '/x'],
    ['no tokens', { ...start, text: undefined }, 'INVALID_REQUEST', ''],
    ['text and tokens', { ...start, token_ids: [[1]] }, 'INVALID_REQUEST', '/text'],
    [
      'a token that is none',
      { ...start, text: undefined, token_ids: [[1, 999]] },
      'INVALID_TENSOR',
      '/token_ids/0/1',
    ],
    ['a text that is too long', { ...start, text: 'a b '.repeat(99) }, 'INVALID_REQUEST', '/text'],
    ['a layer that is not there', { ...start, layers: [2] }, 'INVALID_REQUEST', '/layers/0'],
    ['a head that is not there', { ...start, heads: [0, 4] }, 'INVALID_REQUEST', '/heads/1'],
    ['no heads', { ...start, heads: [] }, 'INVALID_REQUEST', '/heads'],
    ['an unknown emit', { ...start, emit: ['state'] }, 'INVALID_REQUEST', '/emit/0'],
    [
      'cross-attention of one that has none',
      { ...start, emit: ['cross_weights'] },
      'INVALID_REQUEST',
      '/emit/0',
    ],
    [
      'a present of one that is not causal',
      { ...start, model: 'bert', emit: ['present'] },
      'INVALID_REQUEST',
      '/emit/0',
    ],
    [
      'a gradient without backward',
      { ...start, emit: ['weights', 'grad_weights'] },
      'INVALID_REQUEST',
      '/emit/1',
    ],
    ['a backward pass of nothing', { ...start, pass: 'forward_backward' }, 'INVALID_REQUEST', '/backward'],
    [
      'backward in a forward pass',
      { ...start, pass: 'forward', backward: { of: { kind: 'logit', token: 3 } } },
      'INVALID_REQUEST',
      '/pass',
    ],
    [
      'an unknown token',
      { ...start, backward: { of: { kind: 'logit', token: 'there is no such' } } },
      'INVALID_REQUEST',
      '/backward/of/token',
    ],
    [
      'generation without a decoder',
      { ...start, model: 'bert', generate: {} },
      'INVALID_REQUEST',
      '/generate',
    ],
    [
      'too many tokens',
      { ...start, generate: { max_new_tokens: 32 } },
      'INVALID_REQUEST',
      '/generate/max_new_tokens',
    ],
    [
      'going on with tokens of none',
      { ...start, resume: { pass: 'generate' } },
      'INVALID_REQUEST',
      '/resume/from_token',
    ],
    [
      'going on at a layer that is not there',
      goOn({ from_layer: 2 }),
      'INVALID_REQUEST',
      '/resume/from_layer',
    ],
    [
      'going on in an encoder that is not there',
      goOn({ stack: 'encoder', from_layer: 0 }),
      'INVALID_REQUEST',
      '/resume/stack',
    ],
    [
      'going on at a token that is not there',
      goOn({ pass: 'generate', item: 0, from_token: 2 }),
      'INVALID_REQUEST',
      '/resume/from_token',
    ],
    [
      'going on with a text that is not there',
      goOn({ pass: 'generate', item: 1, from_token: 0 }),
      'INVALID_REQUEST',
      '/resume/item',
    ],
    [
      'going on at a token and a layer',
      goOn({ pass: 'generate', item: 0, from_token: 0, from_layer: 0 }),
      'INVALID_REQUEST',
      '/resume/from_layer',
    ],
    ['an unknown field', { ...start, emits: [] }, 'INVALID_REQUEST', '/emits'],
  ]

  it('get an error that names the field, the connection lives on, and nothing is held', async () => {
    const own = await startServer({ MODELS_DIR: MODELS })
    const client = await StreamClient.open(own)
    const first = { ...start, id: 'first', model: 'gpt2' }
    client.send(first)
    await client.ended('first')
    client.send({ ...first, id: 'second', model: 'bert' })
    await client.ended('second')
    const before = own.app.engine.arena.usedBytes
    for (const [what, message, code, path] of wrong) {
      const known = client.of('error').length
      client.send(message)
      await client.until(() => client.of('error').length > known)
      const { id, problem } = client.of('error')[known]
      expect([problem.code, problem.errors[0].path], what).toEqual([code, path])
      expect(id, what).toBe('a')
    }
    client.send(start)
    expect(await client.ended('a')).toMatchObject({ type: 'error' })
    const last = await client.until(({ type, id }) => type === 'done' && id === 'a')
    expect(last.tokens.strings[0].length).toBeGreaterThan(3)
    expect(await settled(own, before)).toBe(before)
    await client.close()
  })
})

describe('a run of a model', () => {
  it('waits for credit, is cancelled, and gives its memory back', async () => {
    const client = await StreamClient.open(server)
    client.acknowledge = false
    client.send({ ...start, id: 'warm', layers: [] })
    await client.ended('warm')
    const before = server.app.engine.arena.usedBytes
    client.send({ ...start, credit: 1 })
    await client.until(({ type, id, done }) => type === 'progress' && id === 'a' && done === 2)
    expect(client.of('layer', 'a')).toHaveLength(1)
    client.send({ type: 'cancel', id: 'a' })
    expect(await client.ended('a')).toEqual({ type: 'cancelled', id: 'a' })
    expect(await settled(server, before)).toBe(before)
    client.send({ ...start, credit: 1 })
    await client.until(({ type }) => type === 'layer' && client.of('layer', 'a').length === 2)
    client.send({ type: 'credit', id: 'a', add: 1 })
    expect(await client.until(({ type, id }) => type === 'done' && id === 'a')).toBeDefined()
    await client.close()
  })

  it('is cancelled while its model is being loaded, and lets other messages through meanwhile', async () => {
    const own = await startServer({ MODELS_DIR: MODELS })
    const client = await StreamClient.open(own)
    client.send(start)
    client.send({ type: 'cancel', id: 'a' })
    expect(await client.ended('a')).toEqual({ type: 'cancelled', id: 'a' })
    client.send({ ...start, model: 'llama' })
    client.send({ ...start, model: 'bert' })
    expect(await client.until(({ type }) => type === 'error')).toMatchObject({
      problem: { errors: [{ path: '/id' }] },
    })
    expect(client.of('error')[0].id).toBeUndefined()
    expect(await client.until(({ type }) => type === 'done')).toMatchObject({ id: 'a' })
    await client.close()
  })

  it('goes on on another server behind the frames that have come, tokens too', async () => {
    const [leaving, other] = [
      await startServer({ MODELS_DIR: MODELS }),
      await startServer({ MODELS_DIR: MODELS }),
    ]
    const whole = {
      ...start,
      model: 'mistral',
      text: ["The cat didn't cross", 'it was'],
      backward: { of: { kind: 'logit', token: 7 } },
      emit: ['weights', 'grad_output'],
      generate: { max_new_tokens: 3, temperature: 1, seed: 3 },
    }
    const client = await StreamClient.open(other)
    client.send(whole)
    const end = await client.ended('a')
    const all = frames(client)
    const places = all.map(({ type, pass, index, item }) =>
      type === 'token'
        ? { pass: 'generate', from_token: index, item }
        : ({ pass, from_layer: index } as object),
    )
    places.push({ pass: 'done' })
    for (const count of [1, 3, 5, all.length - 1, all.length]) {
      const behind = await StreamClient.open(other)
      behind.send({ ...whole, resume: { id: 'a', ...places[count] } })
      const resumed = await behind.ended('a')
      expect(frames(behind)).toEqual(all.slice(count))
      expect({ ...resumed, timing: 0 }).toEqual({ ...end, timing: 0 })
      await behind.close()
    }
    const before = await StreamClient.open(leaving)
    before.acknowledge = false
    before.send({ ...whole, credit: 3 })
    await before.until(({ type }) => type === 'layer' && before.of('layer').length === 3)
    const drained = leaving.app.drain()
    const { resume } = await before.until(({ type }) => type === 'going_away')
    expect(resume).toEqual([{ id: 'a', ...places[3] }])
    await before.close()
    await drained
    await client.close()
  })

  it('keeps whole maps for fetch beside thumbnails', async () => {
    const client = await StreamClient.open(server)
    client.send({ ...start, id: 'whole', emit: ['weights'] })
    await client.ended('whole')
    const [, { tensors }] = client.of('layer', 'whole')
    client.send({ ...start, emit: ['weights'], detail: { max_size: 2 }, heads: [3, 1] })
    await client.ended('a')
    const [, small] = client.of('layer', 'a')
    expect(small.tensors.weights[0][0]).toHaveLength(2)
    expect(small.scales.weights[0]).toHaveLength(2)
    client.send({ type: 'fetch', id: 'a', layer: 1, head: 3, tensor: 'weights' })
    const map = await client.until(({ type }) => type === 'map')
    expect(map.values).toEqual([tensors.weights[0][3]])
    client.send({ type: 'release', id: 'a' })
    await client.close()
  })
})
