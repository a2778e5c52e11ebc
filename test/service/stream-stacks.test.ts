/** `GET /v1/stream` of stacks with more than self-attention: the bits of POST /v1/transformer, frame by frame. */
import { describe, expect, it } from 'vitest'
import { drawer } from '../support/layer-cases.ts'
import { float32, readFile, values, writeFile } from './safetensors-file.ts'
import { post, SAFETENSORS_TYPE, startServer } from './server.ts'
import { type Message, StreamClient } from './stream-client.ts'

const server = await startServer()
const draw = drawer(17)

const STACK = '/v1/transformer'
const stack = { layers: 2, heads: 4, kv_heads: 2, d_ff: 12, causal: true, init: { seed: 3, bias: true } }
const x = draw(2, 9, 8)
const target = draw(2, 9, 8)

/** Runs to the end; the messages of the run. */
async function run(start: object): Promise<{ client: StreamClient; last: Message }> {
  const client = await StreamClient.open(server)
  client.send({ type: 'start', id: 'a', ...start })
  const last = await client.ended('a')
  return { client, last }
}

describe('a causal stack with a past', () => {
  it('streams its present as POST /v1/transformer gives it, and goes on from it', async () => {
    const first = await post(server, STACK, { stack, x, return: ['present'] })
    expect(first.status).toBe(200)
    const started = await run({ stack, x, emit: ['present'] })
    const present = Object.assign({}, ...started.client.of('layer').map(({ tensors }) => tensors.present))
    await started.client.close()
    expect(present).toEqual(first.body.present)
    const next = {
      stack,
      x: draw(2, 2, 8),
      past: present,
      backward: { target: draw(2, 2, 8), wrt: ['past'] },
    }
    const answer = await post(server, STACK, { ...next, return: ['output', 'weights'] })
    expect(answer.status).toBe(200)
    expect(answer.body.layers[0].weights[1][3][1]).toHaveLength(11)
    const { client, last } = await run({ ...next, pass: 'forward_backward' })
    await client.close()
    expect(last).toMatchObject({ output: answer.body.output, grads: answer.body.grads })
    expect(Object.keys(answer.body.grads.past)).toHaveLength(4)
  })

  it('takes a past and gives a present as safetensors', async () => {
    const json = await post(server, STACK, { stack, x, return: ['output', 'present'] })
    const tensors = Object.fromEntries(
      Object.entries(json.body.present as Record<string, number[][][][]>).map(([name, value]) => [
        `past.${name}`,
        float32(value.flat(3), [2, 2, 9, 2]),
      ]),
    )
    const next = draw(2, 2, 8)
    const response = await fetch(server.url + STACK, {
      method: 'POST',
      headers: { 'content-type': SAFETENSORS_TYPE, accept: SAFETENSORS_TYPE },
      body: writeFile(
        { ...tensors, x: float32(next.data, next.shape) },
        { request: JSON.stringify({ stack, return: ['output', 'present'] }) },
      ),
    })
    const bytes = Buffer.from(await response.arrayBuffer())
    expect(response.status, bytes.toString()).toBe(200)
    const { tensors: found } = readFile(bytes)
    expect(found['present.layers.1.v'].shape).toEqual([2, 2, 11, 2])
    const same = await post(server, STACK, { stack, x: next, past: json.body.present })
    expect(values(found.output)).toEqual(same.body.output.flat(2).map(Math.fround))
  })

  it('refuses a present that is none', async () => {
    const { client, last } = await run({ stack: { ...stack, causal: false }, x, emit: ['present'] })
    await client.close()
    expect(last.problem.errors).toEqual([
      { path: '/emit/0', message: 'expected a causal stack beside "present", got stack/causal false' },
    ])
  })
})

describe('a stack with sinks and biases by distance', () => {
  it('streams their gradients: of sinks with their layer, of the table with the first', async () => {
    const drawn = await post(server, STACK, { stack, x, return: ['params'] })
    const sinks = { 'layers.0.attention.sinks': draw(4), 'layers.1.attention.sinks': draw(4) }
    const params = { ...drawn.body.params, ...sinks, 'relative_bias.table': draw(8, 4) }
    const own = {
      ...stack,
      init: undefined,
      params,
      relative_bias: { max_distance: 16, bidirectional: false },
    }
    const request = { stack: own, x, backward: { target, entropy_weight: 0.2 } }
    const maps = ['weights', 'logsumexp']
    const answer = await post(server, STACK, { ...request, return: ['output', ...maps] })
    expect(answer.status, JSON.stringify(answer.body)).toBe(200)
    const emit = [...maps, 'grad_params']
    const { client, last } = await run({ ...request, pass: 'forward_backward', emit })
    await client.close()
    expect(last).toMatchObject({ loss: answer.body.loss, grads: { x: answer.body.grads.x } })
    const frames = client.of('layer')
    const forward = frames.filter(({ pass }) => pass === 'forward').map(({ tensors }) => tensors)
    expect(forward).toMatchObject(answer.body.layers)
    for (const { index, pass, tensors } of frames) {
      if (pass !== 'backward') continue
      const names = Object.keys(tensors.grad_params)
      expect(names).toContain(`layers.${index}.attention.sinks`)
      expect(names.includes('relative_bias.table')).toBe(index === 0)
      for (const name of names)
        expect(tensors.grad_params[name], name).toEqual(answer.body.grads.params[name])
    }
  })

  it('takes the table beside the stack, or draws it as 0', async () => {
    const bias = { max_distance: 16 }
    const table = draw(8, 4)
    const beside = { stack, x, relative_bias: { ...bias, table }, backward: { target } }
    const { body } = await post(server, STACK, beside)
    expect(body.grads.relative_bias.table).toHaveLength(8)
    const { client, last } = await run({ ...beside, pass: 'forward_backward' })
    await client.close()
    expect(last.grads.relative_bias).toEqual(body.grads.relative_bias)
    const drawn = await post(server, STACK, {
      stack: { ...stack, relative_bias: bias },
      x,
      return: ['params'],
    })
    expect(drawn.body.params['relative_bias.table']).toEqual(Array(32).fill(Array(4).fill(0)))
    const both = await post(server, STACK, { ...beside, stack: { ...stack, relative_bias: bias } })
    const paths = both.body.errors.map(({ path }: { path: string }) => path)
    expect(paths).toEqual(['/stack/relative_bias', '/relative_bias'])
  })

  it('refuses sinks and biases beside linear attention', async () => {
    const refused = async (more: object) => {
      const { body } = await post(server, STACK, { x, attention_kind: 'linear', ...more })
      return [body.status, body.errors?.[0].path]
    }
    expect(await refused({ stack: { ...stack, relative_bias: {} } })).toEqual([400, '/stack/relative_bias'])
    const { body } = await post(server, STACK, { stack, x, return: ['params'] })
    const sinks = { 'layers.1.attention.sinks': draw(4) }
    const withSinks = { ...stack, init: undefined, params: { ...body.params, ...sinks } }
    expect(await refused({ stack: withSinks })).toEqual([400, '/stack/params/layers.1.attention.sinks'])
    const short = { ...withSinks, params: { ...body.params, 'layers.1.attention.sinks': draw(3) } }
    const wrong = await post(server, STACK, { stack: short, x })
    expect(wrong.body.errors[0].path).toMatch(/^.stack.params.layers.1.attention.sinks/)
  })
})

describe('a stack with an encoder', () => {
  const request = {
    stack,
    x,
    encoder: {
      stack: { layers: 3, heads: 2, d_ff: 9, init: { seed: 4, bias: true } },
      x: draw(2, 7, 6),
      q_lengths: [7, 5],
    },
    dropout: { p: 0.2, seed: 1 },
    backward: { target, entropy_weight: 0.3 },
  }
  const maps = ['weights', 'entropy', 'cross_weights', 'cross_logsumexp']
  const backward = ['grad_output', 'grad_weights', 'grad_cross_weights', 'grad_params']
  const places = (client: StreamClient) =>
    client.of('layer').map(({ pass, stack = 'decoder', index }) => `${pass} ${stack} ${index}`)

  it('streams the layers of both, there and back', async () => {
    const answer = await post(server, STACK, { ...request, return: ['output', ...maps] })
    expect(answer.status).toBe(200)
    const { client, last } = await run({ ...request, pass: 'forward_backward', emit: [...maps, ...backward] })
    await client.close()
    const { loss, output, grads, encoder } = answer.body
    expect(last).toMatchObject({ loss, output, encoder: { output: encoder.output } })
    expect(last.grads).toEqual({ x: grads.x, encoder: { x: grads.encoder.x } })
    expect(places(client)).toEqual([
      ...['forward encoder 0', 'forward encoder 1', 'forward encoder 2'],
      ...['forward decoder 0', 'forward decoder 1', 'backward decoder 1', 'backward decoder 0'],
      ...['backward encoder 2', 'backward encoder 1', 'backward encoder 0'],
    ])
    const params: Record<string, Record<string, unknown>> = { encoder: {}, decoder: {} }
    for (const { pass, stack = 'decoder', index, tensors } of client.of('layer')) {
      const { layers } = stack === 'encoder' ? encoder : answer.body
      if (pass === 'forward') expect(tensors).toEqual(layers[index])
      else Object.assign(params[stack], tensors.grad_params)
      if (pass === 'backward') expect('grad_cross_weights' in tensors).toBe(stack === 'decoder')
    }
    expect(params).toEqual({ decoder: grads.params, encoder: grads.encoder.params })
  })

  it('sends maps of its layers when they are fetched, all heads of them', async () => {
    const { backward: _backward, ...forward } = request
    const answer = await post(server, STACK, { ...forward, return: ['weights'] })
    const start = { ...forward, emit: ['weights'], detail: { max_size: 4 }, heads: [3], layers: [1] }
    const { client } = await run(start)
    expect(places(client)).toHaveLength(4)
    client.send({ type: 'fetch', id: 'a', stack: 'encoder', layer: 2, head: 1, tensor: 'weights' })
    const map = await client.until(({ type }) => type === 'map' || type === 'error')
    client.send({ type: 'fetch', id: 'a', layer: 2, head: 1, tensor: 'weights' })
    const refused = await client.until(({ type }) => type === 'error')
    await client.close()
    expect(map).toMatchObject({ type: 'map', stack: 'encoder', layer: 2, head: 1 })
    const weights = answer.body.encoder.layers[2].weights as number[][][][]
    expect(map.values).toEqual(weights.map(heads => heads[1]))
    expect(refused.problem.errors[0].message).toMatch(/weights of layer 2/)
  })

  it('does not go back through it for nothing', async () => {
    const wrt = ['x']
    const start = { ...request, pass: 'forward_backward', backward: { target, wrt }, emit: ['grad_output'] }
    const { client } = await run(start)
    await client.close()
    expect(places(client)).toEqual(['backward decoder 1', 'backward decoder 0'])
  })

  it('is planned', async () => {
    const shaped = (tensor: { shape: number[] }) => ({ shape: tensor.shape })
    const encoder = { ...request.encoder, x: shaped(request.encoder.x), q_lengths: { shape: [2] } }
    const body = {
      ...request,
      x: shaped(x),
      encoder,
      backward: { target: shaped(target) },
      return: ['cross_weights'],
    }
    const plan = await post(server, '/v1/plan', { endpoint: STACK, body })
    expect(plan.status).toBe(200)
    expect(plan.body.shapes).toMatchObject({
      'layers.1.cross_weights': [2, 4, 9, 7],
      'grads.encoder.x': [2, 7, 6],
      'grads.encoder.params.layers.2.ffn.w_1': [6, 9],
      'grads.params.layers.0.cross_attention.w_k': [6, 4],
    })
  })
})

describe('a decoder with a context', () => {
  const request = {
    stack,
    x,
    context: draw(2, 11, 6),
    context_lengths: [11, 4],
    dropout: { p: 0.2, seed: 1 },
    backward: { target, entropy_weight: 0.3 },
  }
  const maps = ['weights', 'entropy', 'cross_weights', 'cross_scores', 'cross_entropy', 'cross_logsumexp']
  const backward = ['grad_cross_weights', 'grad_params']

  it('streams the bits of POST /v1/transformer', async () => {
    const answer = await post(server, STACK, { ...request, return: ['output', ...maps] })
    expect(answer.status).toBe(200)
    const { client, last } = await run({ ...request, pass: 'forward_backward', emit: [...maps, ...backward] })
    await client.close()
    expect(last).toMatchObject({ loss: answer.body.loss, output: answer.body.output })
    expect(last.grads).toEqual({ x: answer.body.grads.x, context: answer.body.grads.context })
    const params: Record<string, unknown> = {}
    for (const { pass, index, tensors } of client.of('layer')) {
      if (pass === 'forward') expect(tensors).toEqual(answer.body.layers[index])
      else {
        Object.assign(params, tensors.grad_params)
        const gradients = tensors.grad_cross_weights as number[][][][]
        expect([gradients.length, gradients[0].length, gradients[0][0].length]).toEqual([2, 4, 9])
        // beyond the second context's end nothing is attended
        for (const row of gradients[1].flat()) {
          expect(row).toHaveLength(11)
          expect(row.slice(4).every(value => value === 0)).toBe(true)
          expect(row.slice(0, 4).some(value => value !== 0)).toBe(true)
        }
      }
    }
    expect(params).toEqual(answer.body.grads.params)
  })

  it('sends thumbnails of cross-attention, and its maps when they are fetched', async () => {
    const answer = await post(server, STACK, { ...request, backward: undefined, return: ['cross_weights'] })
    const start = { ...request, backward: undefined, emit: ['cross_weights'], detail: { max_size: 4 } }
    const { client } = await run({ ...start, heads: [2] })
    const [frame] = client.of('layer')
    expect(frame.tensors.cross_weights.length).toBe(2)
    expect(frame.scales.cross_weights).toHaveLength(2)
    client.send({ type: 'fetch', id: 'a', layer: 1, head: 2, tensor: 'cross_weights' })
    const map = await client.until(({ type }) => type === 'map' || type === 'error')
    await client.close()
    const weights = answer.body.layers[1].cross_weights as number[][][][]
    expect(map.values).toEqual(weights.map(heads => heads[2]))
  })

  it.each(['cross_weights', 'grad_cross_weights'])('refuses %s without one', async name => {
    const { client, last } = await run({
      stack,
      x,
      pass: 'forward_backward',
      backward: { target },
      emit: [name],
    })
    await client.close()
    expect(last.problem.errors).toEqual([
      { path: '/emit/0', message: `expected context or encoder beside "${name}", got none` },
    ])
  })
})
