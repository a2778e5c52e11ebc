/** Models over `GET /v1/stream`: frames that have what `POST /v1/models/{name}/forward` answers, and a token at a time. */
import { describe, expect, it } from 'vitest'
import { Client, Tensor } from '../../../src/client/index.ts'
import { post, startServer } from '../server.ts'
import { type Message, StreamClient } from '../stream-client.ts'
import { MODELS } from './fixture.ts'

const server = await startServer({ MODELS_DIR: MODELS })
const text = ["The cat didn't cross", 'it was']
const forward = ['weights', 'scores', 'masked_scores', 'entropy', 'logsumexp', 'max_score']
const of = { kind: 'log_probability', token: 7 }

async function run(start: object): Promise<{ client: StreamClient; last: Message }> {
  const client = await StreamClient.open(server)
  client.send({ type: 'start', id: 'a', ...start })
  const last = await client.ended('a')
  await client.close()
  return { client, last }
}

async function answer(name: string, body: object): Promise<Message> {
  const response = await post(server, `/v1/models/${name}/forward`, body)
  expect(response.body.detail ?? response.status).toBe(200)
  return response.body
}

const ofLayer = (client: StreamClient, pass: string, index: number) =>
  client.of('layer').find(frame => frame.pass === pass && frame.index === index && frame.stack === undefined)

describe('a run of a model', () => {
  it.each(['bert', 'gpt2', 'gemma2', 't5'])('has layer by layer what %s answers at once', async model => {
    const cross = model === 't5' ? ['cross_weights'] : []
    const read = model === 't5' ? ['top_keys'] : ['top_keys', 'head_metrics']
    const whole = ['output', 'hidden', 'logits', 'next_tokens', 'embedding']
    const asked = { text, heads: [2, 0] }
    const emit = ['grad_output', 'grad_weights']
    const layers = [1, 0]
    const backward = { of, wrt: ['embeddings'] }
    const right = await answer(model, {
      ...asked,
      layers,
      backward,
      emit,
      return: [...whole, ...forward, ...cross, ...read],
    })
    const { client, last } = await run({
      ...asked,
      model,
      layers,
      backward,
      return: whole,
      emit: [...forward, ...cross, ...read, ...emit],
    })
    expect(last.problem?.detail ?? last.type).toBe('done')
    const [accepted] = client.of('accepted')
    expect(accepted).toMatchObject({ layers: 2, tokens: right.tokens, plan: { flops: expect.any(Number) } })
    expect(client.messages[0]).toBe(accepted)
    for (const { index, ...wanted } of right.layers) {
      const { tensors, head_metrics } = ofLayer(client, 'forward', index)
      const { grad_output, grad_weights, head_metrics: metrics, ...maps } = wanted
      expect(tensors).toEqual(maps)
      expect(head_metrics).toEqual(metrics)
      expect(ofLayer(client, 'backward', index).tensors).toEqual({ grad_output, grad_weights })
    }
    const { type: _type, id: _id, timing: _timing, ...rest } = last
    const { layers: _layers, encoder, ...others } = right
    expect(rest).toMatchObject(others)
    if (encoder === undefined) return
    expect(rest.encoder).toEqual({ output: encoder.output, hidden: encoder.hidden })
    const ofEncoder = client.of('layer').filter(({ stack }) => stack === 'encoder')
    expect(ofEncoder.map(({ pass, index }) => `${pass} ${index}`)).toEqual([
      'forward 0',
      'forward 1',
      'backward 1',
      'backward 0',
    ])
    for (const { index, weights } of encoder.layers) {
      expect(
        ofEncoder.find(frame => frame.pass === 'forward' && frame.index === index).tensors.weights,
      ).toEqual(weights)
    }
  })

  it('has weights by default, and none where no layers are wanted', async () => {
    const whole = await run({ model: 'bert', text: text[0] })
    expect(whole.last).toMatchObject({ type: 'done', output: expect.any(Array) })
    expect(whole.client.of('layer').map(({ tensors }) => Object.keys(tensors))).toEqual([
      ['weights'],
      ['weights'],
    ])
    const [accepted] = whole.client.of('accepted')
    expect(accepted.tokens.offsets[0]).toHaveLength(accepted.tokens.ids[0].length)
    const none = await run({ model: 'bert', text: text[0], layers: [], return: ['embedding'] })
    expect(none.client.of('layer')).toEqual([])
    expect(none.last.embedding[0]).toHaveLength(16)
    expect(none.last.output).toBeUndefined()
    const readings = await run({ model: 'bert', text: text[0], return: ['head_metrics'] })
    const [frame] = readings.client.of('layer')
    expect(frame.head_metrics).toHaveLength(4)
    expect(frame.tensors).toEqual({})
  })

  it.each(['gpt2', 'gemma2', 't5'])(
    'has the gradients of %s by layer, and the others at its end',
    async model => {
      const backward = { of, wrt: ['embeddings', 'params'] }
      const right = await answer(model, { text, backward, return: [] })
      const { client, last } = await run({ model, text, backward: { of }, return: [], emit: ['grad_params'] })
      const params: Record<string, unknown> = { ...last.grads.params }
      const known = Object.keys(params).length
      for (const { pass, tensors } of client.of('layer')) {
        if (pass === 'backward') Object.assign(params, tensors.grad_params)
      }
      expect(known).toBeGreaterThan(0)
      expect(Object.keys(params).length).toBeGreaterThan(known + 10)
      expect(params).toEqual(right.grads.params)
      expect(last.grads.embeddings).toEqual(right.grads.embeddings)
      expect(last.values).toEqual(right.values)
      const some = await run({
        model,
        text,
        backward: { of },
        return: [],
        emit: ['grad_params'],
        layers: [1],
      })
      const own = (index: number) => ofLayer(some.client, 'backward', index)?.tensors.grad_params
      expect(own(1)).toEqual(ofLayer(client, 'backward', 1).tensors.grad_params)
      expect(own(0)).toBeUndefined()
      expect(some.last.grads).toEqual(last.grads)
      const plain = await run({ model, text, backward, return: [], emit: [] })
      expect(plain.last.grads.params).toEqual(right.grads.params)
    },
  )
})

describe('tokens', () => {
  it.each(['gpt2', 'mistral', 't5'])(
    'of %s come one by one, each with what its row attends to',
    async model => {
      const generate = { max_new_tokens: 5 }
      const right = await answer(model, { text, generate, return: [] })
      const emit = model === 't5' ? ['weights', 'cross_weights'] : ['weights']
      const { client, last } = await run({
        model,
        text,
        generate,
        return: [],
        emit,
        layers: [1],
        heads: [3, 1],
      })
      expect(last.generated).toEqual(right.generated)
      const frames = client.of('token')
      for (const [item, ids] of right.generated.ids.entries()) {
        const own = frames.filter(frame => frame.item === item)
        expect(own.map(({ index }) => index)).toEqual(ids.map((_: number, index: number) => index))
        expect(own.map(({ token }) => token)).toEqual(
          ids.map((id: number, index: number) => ({ id, string: right.generated.strings[item][index] })),
        )
      }
      // the last row of a forward pass over what has come so far
      const { tokens } = client.of('accepted')[0]
      const prompt = tokens.ids[0].filter((_: number, i: number) => tokens.attention_mask[0][i] === 1)
      if (model === 't5') {
        const [{ layers }] = frames
        const [first] = (
          await answer(model, { text: text[0], return: ['weights', 'cross_weights'], layers: [1] })
        ).layers
        for (const name of ['weights', 'cross_weights']) {
          expect(layers[0][name]).toEqual([3, 1].map(head => first[name][0][head].at(-1)))
        }
        return
      }
      for (const { item, index, layers } of frames.filter(frame => frame.item === 0)) {
        const token_ids = [[...prompt, ...right.generated.ids[item].slice(0, index)]]
        const whole = await answer(model, { token_ids, return: ['weights'], layers: [1] })
        expect(layers).toEqual([
          { index: 1, weights: [3, 1].map(head => whole.layers[0].weights[0][head].at(-1)) },
        ])
      }
    },
  )

  it('take no credit, and none of them is lost', async () => {
    const client = await StreamClient.open(server)
    client.acknowledge = false
    client.send({
      type: 'start',
      id: 'a',
      model: 'mistral',
      token_ids: [[5, 6]],
      generate: { max_new_tokens: 20 },
      encoding: 'safetensors',
    })
    const last = await client.ended('a')
    expect(last.type).toBe('done')
    expect(client.of('token')).toHaveLength(last.generated.ids[0].length)
    expect(Object.keys(client.of('token')[0].file)).toEqual(['layers.0.weights', 'layers.1.weights'])
    await client.close()
  })

  it('come to the package’s own client, layers and all', async () => {
    const client = new Client(server.url)
    const seen: string[] = []
    for await (const frame of client.stream({
      model: 'gpt2',
      text,
      generate: { max_new_tokens: 4 },
      credit: 1,
    })) {
      if (frame.type !== 'progress') seen.push(frame.type)
      if (frame.type === 'layer') expect(frame.tensors.weights?.shape.slice(0, 2)).toEqual([2, 4])
      if (frame.type === 'token') expect(frame.layers?.[1].weights).toBeInstanceOf(Tensor)
      if (frame.type === 'done') expect(frame.generated?.ids).toHaveLength(2)
    }
    expect(seen).toEqual([
      'accepted',
      'layer',
      'layer',
      ...new Array<string>(seen.length - 4).fill('token'),
      'done',
    ])
    expect(seen.length).toBeGreaterThan(6)
  })
})
