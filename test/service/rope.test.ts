/** `rope` in requests: frequencies, factor, positions and scaling, wherever rope may stand, in every form; and what is refused. */
import { describe, expect, it } from 'vitest'
import { drawer, type Flat } from '../support/layer-cases.ts'
import { type FileTensor, readFile, values, writeFile } from './safetensors-file.ts'
import { type Answer, post, SAFETENSORS_TYPE, startServer } from './server.ts'
import { StreamClient } from './stream-client.ts'

const server = await startServer()
const draw = drawer(11)

const ATTENTION = '/v1/attention'
const POSITIONS = '/v1/positional-encoding'
const STACK = '/v1/transformer'

const [B, H, N, M, D] = [2, 4, 5, 6, 8]
const qkv = { q: draw(B, H, N, D), k: draw(B, 2, M, D), v: draw(B, 2, M, 3) }
const backward = { target: draw(B, H, N, 3) }
const range = (count: number, from = 0) => Array.from({ length: count }, (_, i) => i + from)
const frequencies = range(D / 2).map(j => 10000 ** ((-2 * j) / D))

async function body(path: string, request: object): Promise<Answer['body']> {
  const answer = await post(server, path, request)
  expect(answer.status, JSON.stringify(answer.body)).toBe(200)
  return answer.body
}

/** Output, scores and gradients of an attention with this rope. */
const attend = (rope: object, more: object = {}) =>
  body(ATTENTION, { ...qkv, rope, backward, return: ['output', 'scores'], encoding: 'base64', ...more })

describe.each(['float32', 'float64'])('%s: the same bits', precision => {
  const same = async (one: object, other: object, more: object = {}) => {
    const [a, b] = [await attend(one, { precision, ...more }), await attend(other, { precision, ...more })]
    expect({ ...a, timings: undefined }).toEqual({ ...b, timings: undefined })
  }

  it.each<[string, object, object]>([
    [
      'positions in order and offsets',
      { q_positions: range(N, 7), k_positions: range(M, -3) },
      { q_offset: 7, k_offset: -3 },
    ],
    ['positions of q alone, k from 0', { q_positions: range(N, 2) }, { q_offset: 2 }],
    [
      'positions once and for each batch element',
      { q_positions: range(N, 3) },
      { q_positions: [range(N, 3), range(N, 3)] },
    ],
    ['frequencies and their base', { frequencies }, {}],
    ['frequencies of some dims', { frequencies: [1, 0.01] }, { dims: 4, base: 10000 }],
    ['the default type and none', { scaling: { rope_type: 'default' } }, {}],
    ['rope_theta and base', { scaling: { rope_theta: 500 } }, { base: 500 }],
    ['a factor of 1 and none', { factor: 1 }, {}],
    [
      'type, rope_type and both',
      { scaling: { type: 'linear', rope_type: 'linear', factor: 2 } },
      { scaling: { type: 'linear', factor: 2 } },
    ],
    [
      'linear and frequencies',
      { scaling: { rope_type: 'linear', factor: 2 } },
      { frequencies: frequencies.map(f => f / 2) },
    ],
    [
      'linear and positions further apart',
      { scaling: { rope_type: 'linear', factor: 0.5 } },
      { q_positions: range(N).map(i => 2 * i), k_positions: range(M).map(j => 2 * j) },
    ],
    ['partial_rotary_factor and dims', { scaling: { partial_rotary_factor: 0.5 } }, { dims: 4 }],
    [
      'a factor beside scaling and one of both',
      {
        factor: 2,
        scaling: {
          rope_type: 'yarn',
          factor: 4,
          original_max_position_embeddings: 16,
          attention_factor: 0.75,
        },
      },
      {
        factor: 1.5,
        scaling: { rope_type: 'yarn', factor: 4, original_max_position_embeddings: 16, attention_factor: 1 },
      },
    ],
    [
      'mscale that says what attention_factor is',
      {
        scaling: { rope_type: 'yarn', factor: 4, max_position_embeddings: 16, mscale: 1, mscale_all_dim: 1 },
      },
      { scaling: { rope_type: 'yarn', factor: 4, max_position_embeddings: 16, attention_factor: 1 } },
    ],
  ])('%s', async (_name, one, other) => {
    await same(one, other)
  })

  it('lengths from offsets, from positions, and from the past', async () => {
    const scaling = { rope_type: 'dynamic', factor: 2, max_position_embeddings: 4 }
    await same(
      { scaling, q_positions: range(N, 9), k_positions: range(M, 1) },
      { scaling, q_offset: 9, k_offset: 1 },
    )
    await same({ scaling, k_positions: range(M, 40) }, { scaling, k_offset: 40 })
    const past = { past_k: draw(B, 2, 7, D), past_v: draw(B, 2, 7, 3) }
    const after = { q_positions: range(N, 7), k_positions: range(M, 7) }
    await same({ scaling }, { scaling, ...after }, { ...past, mask: draw(N, M + 7) })
  })

  it('each batch element by its own positions', async () => {
    const places = { q: [range(N, 4), range(N, -2)], k: [range(M, 4), range(M, 11)] }
    const together = await attend(
      { q_positions: places.q, k_positions: places.k },
      { precision, encoding: 'nested' },
    )
    for (const b of range(B)) {
      const only = ({ shape, data }: Flat) => {
        const size = data.length / B
        return { shape: [1, ...shape.slice(1)], data: data.slice(b * size, (b + 1) * size) }
      }
      const alone = await attend(
        { q_positions: places.q[b], k_positions: [places.k[b]] },
        {
          ...Object.fromEntries(Object.entries(qkv).map(([name, x]) => [name, only(x)])),
          precision,
          backward: { target: only(backward.target) },
          encoding: 'nested',
        },
      )
      expect(alone.scores[0]).toEqual(together.scores[b])
      expect(alone.grads.q[0]).toEqual(together.grads.q[b])
      expect(alone.grads.k[0]).toEqual(together.grads.k[b])
    }
  })
})

describe('forms', () => {
  const rope = {
    q_positions: { shape: [B, N], data: [...range(N, 30), ...range(N, -4)] },
    k_positions: { shape: [M], data: range(M, 2 ** 31 - M) },
  }
  const scaling = { rope_type: 'longrope', original_max_position_embeddings: 9, factor: 4 }
  const lists = {
    short_factor: { shape: [4], data: [1, 1.5, 2, 2.5] },
    long_factor: { shape: [4], data: [2, 3, 4, 5] },
  }
  const bytesOf = (view: ArrayBufferView) => Buffer.from(view.buffer)
  const base64 = ({ shape }: Flat, dtype: string, view: ArrayBufferView) => ({
    shape,
    dtype,
    base64: bytesOf(view).toString('base64'),
  })

  it('nested, flat, base64 and safetensors give the same bits; a plan needs shapes alone', async () => {
    const request = { ...qkv, backward, return: ['output', 'scores'], precision: 'float64' }
    const accept = { accept: SAFETENSORS_TYPE }
    const bits = async (sent: object) => {
      const headers = { 'content-type': 'application/json', ...accept }
      const response = await fetch(server.url + ATTENTION, {
        method: 'POST',
        headers,
        body: JSON.stringify(sent),
      })
      const bytes = Buffer.from(await response.arrayBuffer())
      expect(response.status, bytes.toString()).toBe(200)
      return readFile(bytes).tensors
    }
    const expected = await bits({ ...request, rope: { ...rope, scaling: { ...scaling, ...lists } } })
    const nested = {
      q_positions: [rope.q_positions.data.slice(0, N), rope.q_positions.data.slice(N)],
      k_positions: rope.k_positions.data,
      scaling: { ...scaling, short_factor: lists.short_factor.data, long_factor: lists.long_factor.data },
    }
    expect(await bits({ ...request, rope: nested })).toEqual(expected)
    const int64 = BigInt64Array.from(rope.k_positions.data.map(BigInt))
    const packed = {
      q_positions: base64(rope.q_positions, 'int32', Int32Array.from(rope.q_positions.data)),
      k_positions: base64(rope.k_positions, 'int64', int64),
      scaling: {
        ...scaling,
        short_factor: base64(lists.short_factor, 'float64', Float64Array.from(lists.short_factor.data)),
        long_factor: base64(lists.long_factor, 'float32', Float32Array.from(lists.long_factor.data)),
      },
    }
    expect(await bits({ ...request, rope: packed })).toEqual(expected)

    const file = (dtype: string, { shape }: Flat, view: ArrayBufferView): FileTensor => ({
      dtype,
      shape,
      data: bytesOf(view),
    })
    const doubles = (x: Flat) => file('F64', x, Float64Array.from(x.data))
    const tensors = {
      q: doubles(qkv.q),
      k: doubles(qkv.k),
      v: doubles(qkv.v),
      'backward.target': doubles(backward.target),
      'rope.q_positions': file(
        'I64',
        rope.q_positions,
        BigInt64Array.from(rope.q_positions.data.map(BigInt)),
      ),
      'rope.k_positions': file('I32', rope.k_positions, Int32Array.from(rope.k_positions.data)),
      'rope.scaling.short_factor': doubles(lists.short_factor),
      'rope.scaling.long_factor': file('F32', lists.long_factor, Float32Array.from(lists.long_factor.data)),
    }
    const options = { rope: { scaling }, return: ['output', 'scores'], precision: 'float64' }
    const response = await fetch(server.url + ATTENTION, {
      method: 'POST',
      headers: { 'content-type': SAFETENSORS_TYPE, ...accept },
      body: writeFile(tensors, { request: JSON.stringify(options) }),
    })
    const bytes = Buffer.from(await response.arrayBuffer())
    expect(response.status, bytes.toString()).toBe(200)
    expect(readFile(bytes).tensors).toEqual(expected)

    const shape = ({ shape }: Flat) => ({ shape })
    const planned = {
      ...Object.fromEntries(Object.entries(qkv).map(([name, x]) => [name, shape(x)])),
      backward: { target: shape(backward.target) },
      return: ['output', 'scores'],
      precision: 'float64',
      rope: {
        q_positions: shape(rope.q_positions),
        k_positions: shape(rope.k_positions),
        scaling: {
          ...scaling,
          short_factor: shape(lists.short_factor),
          long_factor: shape(lists.long_factor),
        },
      },
    }
    const plan = await body('/v1/plan', { endpoint: ATTENTION, body: planned })
    const given = await body('/v1/plan', { endpoint: ATTENTION, body: { ...request, rope: nested } })
    expect(plan).toMatchObject({ admitted: true, flops: given.flops, bytes: expect.any(Number) })
    expect(plan.shapes).toEqual(
      Object.fromEntries(Object.entries(expected).map(([name, { shape }]) => [name, shape])),
    )
  })

  it('frequencies in a safetensors file', async () => {
    const x = Float64Array.from(draw(2, 4).data)
    const tensors: Record<string, FileTensor> = {
      x: { dtype: 'F64', shape: [2, 4], data: bytesOf(x) },
      frequencies: { dtype: 'F64', shape: [2], data: bytesOf(Float64Array.of(0.5, 0.25)) },
      positions: { dtype: 'I32', shape: [2], data: bytesOf(Int32Array.of(-8, 1e9)) },
    }
    const options = { kind: 'rope', precision: 'float64', factor: 3 }
    const response = await fetch(server.url + POSITIONS, {
      method: 'POST',
      headers: { 'content-type': SAFETENSORS_TYPE, accept: SAFETENSORS_TYPE },
      body: writeFile(tensors, { request: JSON.stringify(options) }),
    })
    const output = values(readFile(Buffer.from(await response.arrayBuffer())).tensors.output)
    for (const [row, place] of [-8, 1e9].entries()) {
      for (const [j, frequency] of [0.5, 0.25].entries()) {
        const [a, b, angle] = [x[4 * row + j], x[4 * row + j + 2], place * frequency]
        expect(output[4 * row + j]).toBeCloseTo(3 * (a * Math.cos(angle) - b * Math.sin(angle)), 12)
        expect(output[4 * row + j + 2]).toBeCloseTo(3 * (a * Math.sin(angle) + b * Math.cos(angle)), 12)
      }
    }
  })
})

describe('where it stands', () => {
  it('the tables of POST /v1/positional-encoding have the axes of the positions', async () => {
    const rope = { kind: 'rope', d_model: 4, encoding: 'flat' }
    const one = await body(POSITIONS, { ...rope, positions: [3, 1] })
    const each = await body(POSITIONS, {
      ...rope,
      positions: [
        [3, 1],
        [1, 0],
        [0, 0],
      ],
    })
    expect([one.cos.shape, each.cos.shape, each.sin.shape]).toEqual([
      [2, 2],
      [3, 2, 2],
      [3, 2, 2],
    ])
    expect(each.sin.data.slice(0, 4)).toEqual(one.sin.data)
    const x = draw(3, 2, 2, 4)
    const { output } = await body(POSITIONS, {
      kind: 'rope',
      x,
      positions: [
        [3, 1],
        [1, 0],
        [0, 0],
      ],
    })
    const alone = await body(POSITIONS, {
      kind: 'rope',
      x: { shape: [1, 2, 2, 4], data: x.data.slice(0, 16) },
      positions: [3, 1],
    })
    expect(output[0]).toEqual(alone.output[0])
  })

  it('layers between projections, stacks, and the stream', async () => {
    const x = draw(2, 6, 8)
    const places = [range(6, 5), [0, 0, 0, 1, 2, 3]]
    const scaling = {
      rope_type: 'llama3',
      factor: 8,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 32,
    }
    const rope = { scaling, q_positions: places, k_positions: places }
    for (const path of ['/v1/self-attention', '/v1/multi-head-attention']) {
      const layer = { x, ...(path.includes('multi') && { heads: 2 }), init: { seed: 1 } }
      const turned = await body(path, { ...layer, rope })
      const plain = await body(path, { ...layer, rope: {} })
      expect(turned.output).not.toEqual(plain.output)
    }
    const stack = { layers: 2, heads: 2, init: { seed: 1 }, position: 'rope', rope }
    const request = { stack, x, backward: { target: draw(2, 6, 8) } }
    const answer = await body(STACK, request)
    expect(answer.output).not.toEqual(
      (await body(STACK, { ...request, stack: { ...stack, rope: {} } })).output,
    )
    const again = await body(STACK, { ...request, checkpoint: true })
    expect([again.output, again.grads]).toEqual([answer.output, answer.grads])
    const client = await StreamClient.open(server)
    client.send({ type: 'start', id: 'a', ...request, pass: 'forward_backward', emit: [] })
    const done = await client.ended('a')
    expect([done.output, done.grads.x]).toEqual([answer.output, answer.grads.x])
    await client.close()
  })
})
