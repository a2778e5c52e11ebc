/** `dialect` from outside: over every codec, in plans, in comparisons, over the stream, and against the libraries' own results. */
import { describe, expect, it } from 'vitest'
import { float32, readFile, writeFile } from './safetensors-file.ts'
import { post, SAFETENSORS_TYPE, settled, startServer } from './server.ts'
import { StreamClient } from './stream-client.ts'

const server = await startServer()
const before = server.app.engine.arena.usedBytes

/** Two queries over three keys, positions first; one head. */
const small = {
  q: [[[[1, 0]], [[0, 1]]]],
  k: [[[[1, 0]], [[0, 1]], [[1, 1]]]],
  v: [[[[1]], [[2]], [[4]]]],
}
const flash = { dialect: 'flash-attn', causal: true, window: [1, -1], return: ['weights'] }
/** Row 0 stands at key 1, row 1 at key 2. */
const conventions = {
  dialect: 'flash-attn',
  layout: 'bnhd',
  causal: 'bottom_right',
  window: { left: 1, right: null, align: 'bottom_right' },
}

describe('the answer and what was read', () => {
  it('in JSON', async () => {
    const { status, body } = await post(server, '/v1/attention', { ...small, ...flash })
    expect([status, body.conventions]).toEqual([200, expect.objectContaining(conventions)])
    const pattern = body.weights[0][0].map((row: number[]) => row.map(weight => Number(weight > 0)))
    expect(pattern).toEqual([
      [1, 1, 0],
      [0, 1, 1],
    ])
  })

  it('in safetensors', async () => {
    const file = writeFile(
      {
        q: float32([1, 0, 0, 1], [1, 2, 1, 2]),
        k: float32([1, 0, 0, 1, 1, 1], [1, 3, 1, 2]),
        v: float32([1, 2, 4], [1, 3, 1, 1]),
      },
      { request: JSON.stringify(flash) },
    )
    const headers = { 'content-type': SAFETENSORS_TYPE, accept: SAFETENSORS_TYPE }
    const answer = await fetch(`${server.url}/v1/attention`, { method: 'POST', headers, body: file })
    const { response, tensors } = readFile(Buffer.from(await answer.arrayBuffer()))
    expect(response.conventions).toMatchObject(conventions)
    expect(tensors.weights.shape).toEqual([1, 1, 2, 3])
  })

  it('in a plan', async () => {
    const shapes = { q: { shape: [1, 2, 1, 2] }, k: { shape: [1, 3, 1, 2] }, v: { shape: [1, 3, 1, 1] } }
    const { body } = await post(server, '/v1/plan', {
      endpoint: '/v1/attention',
      body: { ...shapes, ...flash },
    })
    expect(body).toMatchObject({ conventions, shapes: { weights: [1, 1, 2, 3] }, admitted: true })
    const mask = { shape: [2, 2, 3], dtype: 'bool' }
    const mha = { q: { shape: [1, 2, 2, 2] }, k: { shape: [1, 2, 3, 2] }, v: { shape: [1, 2, 3, 1] }, mask }
    const more = { dialect: 'torch-mha', return: ['output', 'weights'] }
    const { body: planned } = await post(server, '/v1/plan', {
      endpoint: '/v1/attention',
      body: { ...mha, ...more },
    })
    expect(planned.shapes).toEqual({ output: [1, 2, 2, 1], weights: [1, 2, 3] })
  })

  it('in a comparison, whose heads are those of the library’s axes', async () => {
    const { body: answer } = await post(server, '/v1/attention', { ...small, ...flash, return: ['output'] })
    const { output } = answer
    const right = await post(server, '/v1/compare', {
      endpoint: '/v1/attention',
      body: { ...small, ...flash },
      candidate: { output },
    })
    expect(right.body).toMatchObject({ verdict: 'pass', tensors: { output: { heads: [{ index: [0, 0] }] } } })
    expect(right.body.tensors.output.heads.length).toBe(1)
  })

  it('in a diagnosis: the other corner is the one that the dialect does not mean', async () => {
    const wrong = await post(server, '/v1/attention', { ...small, dialect: 'flash-attn', causal: 'top_left' })
    const { body } = await post(server, '/v1/compare', {
      endpoint: '/v1/attention',
      body: { ...small, dialect: 'flash-attn', causal: true },
      candidate: { output: wrong.body.output },
    })
    expect(body.diagnosis).toContainEqual(
      expect.objectContaining({ change: { causal: 'top_left' }, explains: 1 }),
    )
  })

  it('on the stream', async () => {
    const client = await StreamClient.open(server)
    const x = [
      [1, 0, 0, 0],
      [0, 1, 0, 0],
      [0, 0, 1, 0],
    ]
    const stack = { layers: 1, heads: 2, causal: true, init: { seed: 1 } }
    client.send({ type: 'start', id: 'a', x, stack, dialect: 'transformers', window: 1 })
    const done = await client.ended('a')
    expect(done).toMatchObject({
      type: 'done',
      conventions: { dialect: 'transformers', causal: 'bottom_right', window: { left: 0, right: null } },
    })
    const [{ tensors }] = client.of('layer')
    expect(tensors.weights[0]).toEqual([
      [1, 0, 0],
      [0, 1, 0],
      [0, 0, 1],
    ])
    await client.close()
  })

  it('in an explanation of its mask', async () => {
    const { body } = await post(server, '/v1/explain-mask', { body: { ...small, ...flash }, map: true })
    expect(body).toMatchObject({
      conventions,
      map: [
        [
          [
            [0, 0, 1],
            [2, 0, 0],
          ],
        ],
      ],
      legend: { causal: 1, window: 2 },
    })
  })
})

it('names elements where they stand in the request, whatever shape they are read in', async () => {
  const q = [[[1, 0]], [['NaN', 1]]]
  const { body } = await post(server, '/v1/attention', { dialect: 'jax', q, k: [[[1, 0]]], v: [[[1, 0]]] })
  expect(body.errors).toMatchObject([{ path: '/q/1/0/0' }])
})

it('leaves no memory behind', async () => {
  expect(await settled(server, before)).toBe(before)
})
