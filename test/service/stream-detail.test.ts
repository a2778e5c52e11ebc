/** `GET /v1/stream`: thumbnails with the full maps on `fetch`, what backward frames mean, and when frames come. */
import { describe, expect, it } from 'vitest'
import { drawer, type Flat } from '../support/layer-cases.ts'
import { values } from './safetensors-file.ts'
import { post, settled, startServer } from './server.ts'
import { type Message, StreamClient } from './stream-client.ts'

const server = await startServer()
const draw = drawer(11)
const stack = { layers: 2, heads: 3, d_ff: 8, init: { seed: 5 } }
const x = draw(2, 21, 6)
const emit = ['weights', 'scores', 'grad_weights']
const backward = { target: draw(2, 21, 6) }
const start = { type: 'start', id: 'a', stack, x, emit, pass: 'forward_backward', backward }

const find = (client: StreamClient, pass: string, index: number): Message =>
  client.of('layer').find(message => message.pass === pass && message.index === index)

describe('detail', () => {
  it('sends thumbnails, and one head of a full map on fetch', async () => {
    const before = server.app.engine.arena.usedBytes
    const whole = await StreamClient.open(server)
    whole.send(start)
    await whole.ended('a')
    await whole.close()
    const client = await StreamClient.open(server)
    client.send({ ...start, detail: { max_size: 8 }, heads: [2, 0] })
    expect(await client.ended('a')).toMatchObject({ type: 'done' })
    for (const [pass, tensor] of [
      ['forward', 'weights'],
      ['forward', 'scores'],
      ['backward', 'grad_weights'],
    ]) {
      const full = find(whole, pass, 1).tensors[tensor]
      const { tensors, scales } = find(client, pass, 1)
      for (const [b, chosen] of [0, 1].entries()) {
        for (const [at, head] of [2, 0].entries()) {
          const thumbnail = tensors[tensor][b][at]
          const scale = scales[tensor][b][at]
          expect(thumbnail).toHaveLength(7)
          for (const [r, row] of thumbnail.entries()) {
            expect(row).toHaveLength(7)
            for (const [c, byte] of row.entries()) {
              const square = full[chosen][head]
                .slice(3 * r, 3 * r + 3)
                .flatMap((line: number[]) => line.slice(3 * c, 3 * c + 3)) as number[]
              const largest = square.reduce((best, value) =>
                Math.abs(value) > Math.abs(best) ? value : best,
              )
              const value = tensor === 'weights' ? (byte / 255) * scale : ((byte - 128) / 127) * scale
              expect(Math.abs(value - largest)).toBeLessThanOrEqual((0.51 / 127) * scale)
            }
          }
        }
      }
      client.send({ type: 'fetch', id: 'a', layer: 1, head: 2, tensor, pass })
      const map = await client.until(({ type, tensor: of }) => type === 'map' && of === tensor)
      expect(map).toMatchObject({ id: 'a', layer: 1, head: 2, tensor, pass })
      expect(map.values).toEqual(full.map((heads: unknown[]) => heads[2]))
    }
    for (const [wrong, path] of [
      [{ head: 1 }, '/head'],
      [{ layer: 2 }, '/tensor'],
      [{ pass: 'backward' }, '/pass'],
    ] as const) {
      const known = client.of('error').length
      client.send({ type: 'fetch', id: 'a', layer: 1, head: 2, tensor: 'weights', ...wrong })
      await client.until(() => client.of('error').length > known)
      const { id, fetch, problem } = client.of('error')[known]
      expect(id).toBeUndefined()
      expect(fetch).toMatchObject(wrong)
      expect(problem.errors[0].path).toBe(path)
    }
    expect(server.app.engine.arena.usedBytes).toBeGreaterThan(before)
    client.send({ type: 'release', id: 'a' })
    expect(await settled(server, before)).toBe(before)
    await client.close()
  })

  it('in any form, and what has been computed already while the run goes on', async () => {
    const before = server.app.engine.arena.usedBytes
    for (const encoding of ['base64', 'safetensors']) {
      const client = await StreamClient.open(server)
      client.acknowledge = false
      const one = { shape: [21, 6], data: x.data.slice(0, 126) }
      const { backward: _, ...forward } = { ...start, x: one, emit: ['weights'], pass: 'forward' }
      client.send({ ...forward, encoding, detail: {}, credit: 1 })
      const { tensors, file } = await client.until(({ type }) => type === 'layer')
      const picture = file?.['tensors.weights'] ?? tensors.weights
      expect(picture).toMatchObject({ shape: [3, 21, 21], dtype: file ? 'U8' : 'uint8' })
      client.send({ type: 'fetch', id: 'a', layer: 0, head: 1, tensor: 'weights' })
      const map = await client.until(({ type }) => type === 'map')
      const bytes = file ? map.file.values.data : Buffer.from(map.values.base64, 'base64')
      const rows = new Float32Array(Uint8Array.from(bytes).buffer)
      expect(rows).toHaveLength(441)
      expect(rows.subarray(0, 21).reduce((sum, p) => sum + p, 0)).toBeCloseTo(1, 5)
      // gone with the connection
      await client.close()
      expect(await settled(server, before)).toBe(before)
    }
  })
})

describe('backward frames', () => {
  it('grad_output is the gradient of the input of the layers above', async () => {
    const exact = { precision: 'float64', non_finite: 'propagate' }
    const asked = await post(server, '/v1/transformer', { stack, x, ...exact, return: ['output', 'params'] })
    const { params } = asked.body
    const client = await StreamClient.open(server)
    client.send({ ...start, ...exact, emit: ['output', 'grad_output', 'grad_params'] })
    await client.ended('a')
    await client.close()
    const upper = Object.fromEntries(
      Object.entries(params).flatMap(([name, value]) =>
        name.startsWith('layers.1.') ? [[name.replace('layers.1.', 'layers.0.'), value]] : [],
      ),
    )
    const { init: _, ...shape } = stack
    const above = await post(server, '/v1/transformer', {
      stack: { ...shape, layers: 1, params: upper },
      x: find(client, 'forward', 0).tensors.output,
      ...exact,
      backward,
    })
    expect(above.status).toBe(200)
    expect(find(client, 'backward', 0).tensors.grad_output).toEqual(above.body.grads.x)
    expect(find(client, 'backward', 1).tensors.grad_params['layers.1.ffn.w_1']).toEqual(
      above.body.grads.params['layers.0.ffn.w_1'],
    )
  })

  it('the last layer’s has the final norm', async () => {
    const pre = { layers: 2, heads: 2, d_ff: 4, norm: 'pre', init: { seed: 1 } }
    const { body } = await post(server, '/v1/transformer', { stack: pre, x, return: ['params'] })
    const { init: _, ...shape } = pre
    const params = { ...body.params, 'final_norm.gamma': [1, 2, 3, 4, 5, 6] }
    const given = { stack: { ...shape, params }, x, backward }
    const answer = await post(server, '/v1/transformer', given)
    const client = await StreamClient.open(server)
    client.send({ ...start, ...given, emit: ['grad_params'], layers: [1] })
    await client.ended('a')
    await client.close()
    expect(client.of('layer')).toHaveLength(1)
    const { 'final_norm.gamma': gamma, ...own } = find(client, 'backward', 1).tensors.grad_params
    expect(gamma).toEqual(answer.body.grads.params['final_norm.gamma'])
    expect(Object.keys(own).every(name => name.startsWith('layers.1.'))).toBe(true)
  })
})

describe('time', () => {
  it('the first layer comes after about its share of the whole', async () => {
    const layers = 12
    const large: Flat = draw(160, 32)
    const run = async () => {
      const client = await StreamClient.open(server)
      const seen: number[] = []
      client.send({
        type: 'start',
        id: 'a',
        stack: { layers, heads: 4, init: {} },
        x: large,
        precision: 'float64',
        encoding: 'safetensors',
        credit: layers,
      })
      await client.until(({ type }) => type === 'accepted')
      const accepted = performance.now()
      for (let index = 0; index < layers; index++) {
        await client.until(message => message.type === 'layer' && message.index === index)
        seen.push(performance.now() - accepted)
      }
      const done = await client.ended('a')
      await client.close()
      expect(values(done.file.output)).toHaveLength(160 * 32)
      return {
        first: seen[0] / seen[layers - 1],
        server: client.of('layer')[0].timing.at / done.timing.total,
      }
    }
    await run()
    const shares = [await run(), await run(), await run()]
    // 1/12 of the work; half of the time would mean that frames wait for layers to come
    expect(Math.min(...shares.map(({ first }) => first))).toBeLessThan(3 / layers)
    expect(Math.min(...shares.map(each => each.server))).toBeLessThan(3 / layers)
  })

  it('runs of one connection go on side by side', async () => {
    const client = await StreamClient.open(server)
    client.acknowledge = false
    const ids = ['a', 'b', 'c']
    const run = { type: 'start', stack: { layers: 6, heads: 4, init: {} }, x: draw(96, 32), credit: 3 }
    for (const id of ids) client.send({ ...run, id, precision: 'float64', encoding: 'safetensors' })
    // each is on its way, and waits for its client without keeping the others from theirs
    await client.until(() => ids.every(id => client.of('layer', id).length === 3))
    expect(client.of('done')).toEqual([])
    for (const id of ids.toReversed()) client.send({ type: 'credit', id, add: 3 })
    const ends = await Promise.all(ids.map(id => client.ended(id)))
    expect(ends.map(({ type }) => type)).toEqual(['done', 'done', 'done'])
    for (const id of ids) expect(client.of('layer', id)).toHaveLength(6)
    await client.close()
  })
})
