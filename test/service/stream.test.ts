/** `GET /v1/stream`: what a well-behaved client gets. */
import { describe, expect, it } from 'vitest'
import { drawer, type Flat } from '../support/layer-cases.ts'
import { float32, readFile, values, writeFile } from './safetensors-file.ts'
import { post, SAFETENSORS_TYPE, settled, startServer } from './server.ts'
import { type Message, StreamClient } from './stream-client.ts'

const server = await startServer()
const draw = drawer(7)

const LAYERS = 3
const HEADS = 4
const SIZE = 8
const stack = { layers: LAYERS, heads: HEADS, kv_heads: 2, d_ff: 12, init: { seed: 3, bias: true } }
const x = draw(2, 13, SIZE)
const target = draw(2, 13, SIZE)
const mask: Flat = { shape: [13, 13], data: Array.from({ length: 169 }, (_, i) => (i % 5 === 0 ? 0.5 : 0)) }
const options = { mask, kv_lengths: [13, 9], q_lengths: [13, 9], dropout: { p: 0.2, seed: 5 } }
const forward = ['output', 'weights', 'scores', 'entropy', 'logsumexp']
const backward = ['grad_output', 'grad_weights', 'grad_params']
const request = { stack, x, ...options, backward: { target, entropy_weight: 0.3 } }

/** Runs to the end; the messages of the run. */
async function run(start: object): Promise<{ client: StreamClient; last: Message }> {
  const client = await StreamClient.open(server)
  client.send({ type: 'start', id: 'a', ...start })
  const last = await client.ended('a')
  return { client, last }
}

/** The float32 that a number's shortest digits stand for. */
const singles = (numbers: number[]) => numbers.map(Math.fround)

const passes = (client: StreamClient) => client.of('layer').map(({ pass, index }) => `${pass} ${index}`)

describe('a run', () => {
  it.each(['nested', 'flat', 'base64'])('gives the bits of POST /v1/transformer, as %s', async encoding => {
    const answer = await post(server, '/v1/transformer', { ...request, encoding, return: forward })
    expect(answer.status).toBe(200)
    const emit = [...forward, ...backward]
    const { client, last } = await run({ ...request, encoding, emit, pass: 'forward_backward' })
    await client.close()
    expect(passes(client)).toEqual([
      ...['forward 0', 'forward 1', 'forward 2'],
      ...['backward 2', 'backward 1', 'backward 0'],
    ])
    expect(last).toMatchObject({ type: 'done', loss: answer.body.loss, output: answer.body.output })
    expect(last.grads).toEqual({ x: answer.body.grads.x, mask: answer.body.grads.mask })
    const params: Record<string, unknown> = {}
    for (const { pass, index, tensors, timing } of client.of('layer')) {
      expect(timing).toEqual({ at: expect.any(Number), compute: expect.any(Number) })
      if (pass === 'backward') {
        expect(Object.keys(tensors)).toEqual(backward)
        Object.assign(params, tensors.grad_params)
        continue
      }
      const { output, ...maps } = tensors
      expect(maps).toEqual(answer.body.layers[index])
      if (index === LAYERS - 1) expect(output).toEqual(answer.body.output)
    }
    expect(params).toEqual(answer.body.grads.params)
    expect(client.of('accepted')).toEqual([
      {
        type: 'accepted',
        id: 'a',
        layers: LAYERS,
        plan: expect.objectContaining({ flops: expect.any(Number) }),
      },
    ])
    expect(client.of('progress').map(({ done, total }) => [done, total])).toEqual(
      [1, 2, 3, 4, 5, 6].map(done => [done, 6]),
    )
  })

  it('comes and goes as safetensors', async () => {
    const answer = await post(server, '/v1/transformer', {
      stack,
      x,
      return: ['output', 'weights'],
      backward: { target },
    })
    const client = await StreamClient.open(server)
    const start = {
      type: 'start',
      id: 'a',
      stack,
      encoding: 'safetensors',
      pass: 'forward_backward',
      backward: {},
      emit: ['weights', 'grad_params'],
    }
    const tensors = { x: float32(x.data, x.shape), 'backward.target': float32(target.data, target.shape) }
    client.socket.send(writeFile(tensors, { request: JSON.stringify(start) }))
    const done = await client.ended('a')
    await client.close()
    expect(done.loss).toBe(answer.body.loss)
    expect(values(done.file.output)).toEqual(singles(answer.body.output.flat(2)))
    expect(values(done.file['grads.x'])).toEqual(singles(answer.body.grads.x.flat(2)))
    for (const { pass, index, file } of client.of('layer')) {
      if (pass === 'forward') {
        expect(file['tensors.weights'].shape).toEqual([2, HEADS, 13, 13])
        expect(values(file['tensors.weights'])).toEqual(singles(answer.body.layers[index].weights.flat(3)))
      } else {
        const name = `layers.${index}.attention.w_q`
        expect(values(file[`tensors.grad_params.${name}`])).toEqual(
          singles(answer.body.grads.params[name].flat()),
        )
      }
    }
  })

  it('takes messages of many megabytes', async () => {
    const tensors = {
      x: float32(draw(1250, 8).data, [1250, 8]),
      mask: float32(
        Float32Array.from({ length: 1250 * 1250 }, (_, i) => Math.sin(i)),
        [1250, 1250],
      ),
    }
    const small = { layers: 1, heads: 2, d_ff: 8, init: {} }
    const response = await fetch(`${server.url}/v1/transformer`, {
      method: 'POST',
      headers: { 'content-type': SAFETENSORS_TYPE, accept: SAFETENSORS_TYPE },
      body: writeFile(tensors, { request: JSON.stringify({ stack: small }) }),
    })
    const expected = readFile(Buffer.from(await response.arrayBuffer())).tensors
    const client = await StreamClient.open(server)
    const start = { type: 'start', id: 'a', stack: small, emit: [], encoding: 'safetensors' }
    client.socket.send(writeFile(tensors, { request: JSON.stringify(start) }))
    const done = await client.ended('a')
    await client.close()
    expect(values(done.file.output)).toEqual(values(expected.output))
  })

  it('sends the chosen layers, heads and tensors alone', async () => {
    const whole = await run({ stack, x, ...options, emit: ['weights', 'entropy'] })
    const some = await run({
      stack,
      x,
      ...options,
      emit: ['weights', 'entropy'],
      layers: [2, 0],
      heads: [3, 1],
    })
    const none = await run({ stack, x, ...options, emit: [] })
    const noLayers = await run({ stack, x, ...options, emit: ['weights'], layers: [] })
    for (const { client } of [whole, some, none, noLayers]) await client.close()
    expect(passes(some.client)).toEqual(['forward 0', 'forward 2'])
    for (const { index, tensors } of some.client.of('layer')) {
      const all = whole.client.of('layer')[index].tensors
      for (const name of ['weights', 'entropy']) {
        expect(tensors[name]).toEqual(all[name].map((heads: unknown[]) => [heads[3], heads[1]]))
      }
    }
    for (const { client } of [none, noLayers]) expect(client.of('layer')).toEqual([])
    expect(none.last).toEqual({ ...whole.last, timing: expect.anything() })
  })

  it('gives its memory back', async () => {
    const before = server.app.engine.arena.usedBytes
    const { client } = await run({ ...request, pass: 'forward_backward', emit: backward })
    expect(await settled(server, before)).toBe(before)
    await client.close()
  })
})

describe('credit', () => {
  it('bounds the layers on the wire, and a run without any holds no worker', async () => {
    const client = await StreamClient.open(server)
    client.acknowledge = false
    client.send({ type: 'start', id: 'a', stack: { ...stack, layers: 6 }, x, credit: 2 })
    await client.until(({ type, done }) => type === 'progress' && done === 3)
    for (let turn = 0; turn < 5; turn++) {
      expect((await post(server, '/v1/transformer', { stack, x })).status).toBe(200)
    }
    expect(client.of('layer')).toHaveLength(2)
    expect(client.of('progress')).toHaveLength(3)
    client.send({ type: 'credit', id: 'a', add: 1 })
    await client.until(({ type, done }) => type === 'progress' && done === 4)
    expect(client.of('layer')).toHaveLength(3)
    client.send({ type: 'credit', id: 'a', add: 9 })
    expect(await client.ended('a')).toMatchObject({ type: 'done' })
    expect(client.of('layer')).toHaveLength(6)
    await client.close()
  })

  it('a run that is cancelled says so, and its memory is free', async () => {
    const before = server.app.engine.arena.usedBytes
    const client = await StreamClient.open(server)
    client.acknowledge = false
    client.send({ type: 'start', id: 'a', stack, x, credit: 0 })
    await client.until(({ type }) => type === 'progress')
    client.send({ type: 'cancel', id: 'a' })
    expect(await client.ended('a')).toEqual({ type: 'cancelled', id: 'a' })
    expect(await settled(server, before)).toBe(before)
    // its id may be used again, and what comes too late for the run that had it is no error
    client.send({ type: 'cancel', id: 'a' })
    client.send({ type: 'start', id: 'a', stack, x, credit: 3 })
    expect(await client.until(({ type }) => type === 'done')).toBeDefined()
    expect(client.of('error')).toEqual([])
    await client.close()
  })
})
