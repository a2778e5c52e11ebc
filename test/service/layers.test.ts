/** The layers over a real socket: the same bits however they are run, in every form; memory given back. */
import { describe, expect, it } from 'vitest'
import { drawer } from '../support/layer-cases.ts'
import { post, type Server, settled, startServer } from './server.ts'

const one = await startServer({ THREADS: '1' })
const two = await startServer({ THREADS: '2' })

/** Large enough to be cut into many parts. */
const draw = drawer(11)
const LARGE: [string, Record<string, unknown>][] = [
  [
    '/v1/self-attention',
    {
      x: draw(2, 150, 96),
      init: { seed: 1, bias: true },
      d_k: 64,
      causal: true,
      dropout: { p: 0.1, seed: 5 },
    },
  ],
  [
    '/v1/multi-head-attention',
    {
      x: draw(1, 150, 96),
      context: draw(1, 210, 50),
      heads: 6,
      kv_heads: 2,
      ...{
        init: { seed: 2, bias: true, scheme: 'he_normal' },
        rope: {},
        alibi: true,
        return: ['output', 'weights', 'entropy'],
      },
    },
  ],
  [
    '/v1/transformer',
    {
      stack: {
        layers: 2,
        heads: 4,
        norm: 'pre',
        activation: 'swiglu',
        position: 'rope',
        causal: true,
        init: { seed: 3, scheme: 'xavier_normal' },
      },
      x: draw(1, 150, 96),
      dropout: { p: 0.2, seed: 9 },
      return: ['output', 'params', 'logsumexp'],
    },
  ],
]

/** With a loss of the output, of which only the shape is known from a first answer. */
async function withBackward(server: Server, path: string, body: Record<string, unknown>) {
  const first = await post(server, path, { ...body, return: ['output'], encoding: 'flat' })
  expect(first.status).toBe(200)
  return {
    ...body,
    encoding: 'flat',
    backward: { target: drawer(1)(...first.body.output.shape), entropy_weight: 0.1 },
  }
}

describe.each(LARGE)('%s', (path, small) => {
  it('gives the same bits on one thread and on two, and gives its memory back', async () => {
    const used = two.app.engine.arena.usedBytes
    const body = await withBackward(one, path, small)
    const answers = [await post(one, path, body), await post(two, path, body), await post(two, path, body)]
    for (const { status } of answers) expect(status).toBe(200)
    expect(Object.keys(answers[0].body.grads)).toContain('params')
    expect(answers[1].body).toEqual(answers[0].body)
    expect(answers[2].body).toEqual(answers[0].body)
    expect(await settled(two, used)).toBe(used)
  })

  it('is planned: the shapes of the answer, without computing it', async () => {
    const body = await withBackward(one, path, small)
    const answer = await post(one, path, body)
    const plan = await post(one, '/v1/plan', { endpoint: path, body })
    expect(plan.status).toBe(200)
    expect(plan.body.admitted).toBe(true)
    for (const [name, shape] of Object.entries(plan.body.shapes as Record<string, number[]>)) {
      const [head, ...rest] = name.split('.')
      let tensor = answer.body[head]
      if (rest[0] === 'params') tensor = tensor.params[rest.slice(1).join('.')]
      else if (head === 'params') tensor = tensor[rest.join('.')]
      else for (const key of rest) tensor = tensor[key]
      expect(tensor.shape, name).toEqual(shape)
    }
  })
})
