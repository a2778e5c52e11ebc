/** Jobs of models and stacks that are too large for one request: cut over the batch, with the bits of the whole. */
import { setTimeout as wait } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { drawer } from '../support/layer-cases.ts'
import { type StackSpec, stackOf } from '../support/stack-cases.ts'
import { MODELS, readFixture } from './models/fixture.ts'
import { type Answer, JSON_TYPE, post, SAFETENSORS_TYPE, type Server, startServer } from './server.ts'

const env = { MODELS_DIR: MODELS, MEMORY_BYTES: String(128 << 20), THREADS: '1' }
const whole = await startServer(env)
// what these compute is a part of a case at most
const servers = await Promise.all(
  [5e3, 50e3, 120e3, 300e3, 1e6].map(most => startServer({ ...env, MAX_FLOPS: String(most) })),
)
const draw = drawer(11)

type Body = Record<string, unknown>

async function fileOf(server: Server, path: string, body?: Body): Promise<Buffer> {
  const response = await fetch(server.url + path, {
    ...(body && { method: 'POST', body: JSON.stringify(body) }),
    headers: { accept: SAFETENSORS_TYPE, ...(body && { 'content-type': JSON_TYPE }) },
  })
  const bytes = Buffer.from(await response.arrayBuffer())
  expect(response.status, bytes.toString()).toBe(200)
  return bytes
}

async function ended(server: Server, id: string): Promise<Answer['body']> {
  for (;;) {
    const response = await fetch(`${server.url}/v1/jobs/${id}`)
    const job = (await response.json()) as Answer['body']
    if (!['queued', 'running'].includes(job.state)) return job
    await wait(5)
  }
}

/** By the server that cuts it into fewest parts; each has the bytes of the whole. */
async function expectCut(endpoint: string, body: Body): Promise<void> {
  for (const server of servers.toReversed()) {
    const { body: plan } = await post(server, '/v1/plan', { endpoint, body })
    expect(plan.admitted, JSON.stringify(plan)).toBeDefined()
    if (plan.cut === undefined) continue
    expect(plan.admitted).toBe(false)
    const taken = await post(server, '/v1/jobs', { endpoint, body })
    expect(taken.status, JSON.stringify(taken.body)).toBe(202)
    const job = await ended(server, taken.body.id)
    expect(job, JSON.stringify(job)).toMatchObject({ state: 'done', parts: plan.cut.parts })
    expect(job.parts).toBeGreaterThan(1)
    const [joined, direct] = [await fileOf(server, job.result), await fileOf(whole, endpoint, body)]
    expect(joined.equals(direct)).toBe(true)
    return
  }
  expect.unreachable('no server cuts it')
}

const x = draw(5, 6, 8)
const target = draw(5, 6, 8)
const spec: StackSpec = {
  layers: 2,
  kvHeads: 2,
  headDim: undefined,
  norm: 'post',
  norm_kind: 'layer',
  activation: 'relu',
  position: undefined,
  bias: true,
  finalNorm: false,
  gains: false,
  sinks: false,
  relativeBias: false,
  dContext: undefined,
}
const stack: Body = { ...stackOf(spec, draw), causal: true }
const decoder: Body = { ...stackOf({ ...spec, layers: 1, dContext: 3 }, draw), causal: true }
const RETURN = ['output', 'weights', 'logsumexp', 'entropy', 'max_score', 'present', 'params']

const STACKS: [string, Body][] = [
  ['forward', { stack, x, return: RETURN }],
  ['what is of items alone', { stack, x, backward: { target, wrt: ['x'] } }],
  [
    'a mean of a loss, lengths, float64',
    {
      stack: { ...stack, causal: false, position: 'alibi', norm: 'pre' },
      x,
      q_lengths: [6, 2, 4, 1, 3],
      kv_lengths: [5, 6, 1, 4, 2],
      precision: 'float64',
      backward: { target, loss: 'mean_squared_error', grad_output: draw(5, 6, 8), wrt: ['x'] },
    },
  ],
  [
    'a mask of each item and its gradient, a rope by layer',
    {
      stack: { ...stack, rope: [{ base: 100 }, null], window: [null, { left: 2 }] },
      x,
      mask: draw(5, 1, 6, 6),
      backward: { target, wrt: ['x', 'mask'] },
    },
  ],
  [
    'a rope with positions and frequencies',
    {
      stack: {
        ...stack,
        rope: {
          frequencies: draw(2),
          q_positions: [0, 1, 2, 3, 4].map(b => [0, 1, 2, 3, 4, 5].map(i => i + b)),
        },
      },
      x,
      return: ['output'],
    },
  ],
  [
    'a past',
    {
      stack: { ...stackOf({ ...spec, layers: 1 }, draw), causal: true },
      x,
      past: { 'layers.0.k': draw(5, 2, 3, 4), 'layers.0.v': draw(5, 2, 3, 4) },
      return: ['output', 'present'],
      backward: { target, wrt: ['x', 'past'] },
    },
  ],
  [
    'a context with lengths',
    {
      stack: decoder,
      x,
      context: draw(5, 4, 3),
      context_lengths: [4, 1, 2, 3, 0],
      return: ['output', 'cross_weights'],
      backward: { target, wrt: ['x', 'context'] },
    },
  ],
  [
    'an encoder',
    {
      stack: stackOf({ ...spec, layers: 1, dContext: 8 }, draw),
      x,
      encoder: {
        stack: stackOf({ ...spec, layers: 1 }, draw),
        x: draw(5, 4, 8),
        q_lengths: [4, 1, 2, 3, 4],
      },
      return: ['output', 'weights'],
      backward: { target, wrt: ['x', 'encoder.x'] },
    },
  ],
  [
    'a recurrence with gates and its state',
    {
      stack,
      x,
      attention_kind: { kind: 'gated', gates: { decay: { shape: [5, 6, 2], data: Array(60).fill(-0.5) } } },
      return: ['output', 'state'],
      backward: { target, wrt: ['x', 'attention_kind.gates.decay'] },
    },
  ],
]

const LEFT = {
  token_ids: [1, 2, 3, 4].map(b => [3, 4, 5, 6, 7].map(id => id + b)),
  attention_mask: [
    [0, 0, 1, 1, 1],
    [1, 1, 1, 1, 1],
    [0, 1, 1, 1, 1],
    [1, 1, 1, 1, 1],
  ],
}

const MODEL_CASES: [string, string, (texts: string[], ids: Body) => Body][] = [
  [
    'bert',
    'maps of texts, padded',
    text => ({
      text,
      return: ['output', 'weights', 'hidden', 'embedding', 'logits', 'top_keys', 'next_tokens'],
    }),
  ],
  [
    'gpt2',
    'texts, cached keys, generated tokens',
    text => ({
      text,
      return: ['present', 'next_tokens'],
      layers: [1],
      heads: [0],
      generate: { max_new_tokens: 3 },
    }),
  ],
  [
    'llama',
    'gradients and integrated gradients of ids',
    (_, ids) => ({
      ...ids,
      return: ['weights'],
      backward: { of: { kind: 'log_probability', token: 5 }, wrt: ['embeddings'] },
      emit: ['grad_weights'],
      relevance: { method: 'integrated_gradients', of: { kind: 'logit', token: 3 }, steps: 3 },
    }),
  ],
  [
    'distilbert',
    'a vector for each text',
    text => ({
      text,
      precision: 'float64',
      return: [],
      backward: { of: { kind: 'embedding', target: draw(text.length, 16) } },
      relevance: { method: 'gradient_x_attention', of: { kind: 'embedding', target: draw(16) } },
    }),
  ],
  ['t5', 'an encoder, padded', text => ({ text, return: ['output', 'weights', 'cross_weights', 'logits'] })],
  ['qwen3', 'padding on the left', () => ({ ...LEFT, return: ['output', 'weights'] })],
  [
    't5',
    'padding on the left',
    () => ({ ...LEFT, return: ['output', 'weights', 'cross_weights', 'logits'] }),
  ],
]

describe('a job that is cut over the batch', () => {
  it.each(STACKS)('of a stack: %s', (_, body) => expectCut('/v1/transformer', body))

  it.each(MODEL_CASES)('of %s: %s', async (name, _, bodyOf) => {
    const { texts } = readFixture(name)
    const some = texts.filter(({ text_pair }) => text_pair === undefined).map(({ text }) => text.slice(0, 30))
    const body = bodyOf([...some, some[0]], {
      token_ids: [
        [5, 6, 7, 8],
        [9, 8, 7, 6],
        [1, 2, 3, 4],
      ],
    })
    await expectCut(`/v1/models/${name}/forward`, body)
  })

  it('is not taken where items hang together: the problem says why', async () => {
    const text = ['a', 'b']
    const forward = '/v1/models/gpt2/forward'
    const wrong: [string, Body, string][] = [
      ['/v1/transformer', { stack, x, backward: { target } }, 'sums over the batch (grads.params.layers.0'],
      [
        '/v1/transformer',
        { stack, x, mask: draw(6, 6), backward: { target, wrt: ['mask'] } },
        '(grads.mask)',
      ],
      ['/v1/transformer', { stack, x, dropout: { p: 0.5 } }, 'dropout'],
      ['/v1/transformer', { stack, x: draw(9, 8) }, 'nothing to cut but one item'],
      [forward, { text, return: ['head_metrics'] }, 'means over the batch'],
      [forward, { text, generate: { temperature: 1 } }, 'draws by the place'],
      [forward, { text, backward: { of: { kind: 'logit', token: 1 }, wrt: ['params'] } }, '(grads.params.'],
      [forward, { text: 'a' }, 'nothing to cut but one item'],
    ]
    for (const [endpoint, body, why] of wrong) {
      const answer = await post(servers[0], '/v1/jobs', { endpoint, body })
      expect(answer.body.detail, JSON.stringify(answer.body)).toContain(why)
      expect(answer.status).toBe(413)
    }
  })
})

describe('a job of a model', () => {
  it('gives the answer of the request, and says what is wrong at once', async () => {
    const endpoint = '/v1/models/gpt2/forward'
    const body = { text: ['The cat', 'A dog ran'], return: ['logits', 'head_metrics', 'top_keys'] }
    const taken = await post(whole, '/v1/jobs', { endpoint, body })
    const job = await ended(whole, taken.body.id)
    expect(job).toMatchObject({ state: 'done', endpoint })
    const { body: direct } = await post(whole, endpoint, body)
    expect(await (await fetch(whole.url + job.result)).json()).toEqual(direct)
    expect((await fileOf(whole, job.result)).equals(await fileOf(whole, endpoint, body))).toBe(true)
    const unknown = await post(whole, '/v1/jobs', { endpoint: '/v1/models/nobody/forward', body })
    expect(unknown.body).toMatchObject({ status: 404, code: 'MODEL_NOT_FOUND' })
    const wrong = await post(whole, '/v1/jobs', { endpoint, body: { ...body, layers: [99] } })
    expect(wrong.body).toMatchObject({ status: 400, errors: [{ path: '/body/layers/0' }] })
  })
})
