/** Jobs that are too large for one request: their parts, joined, have the bits of the whole. */
import { setTimeout as wait } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { drawer } from '../support/layer-cases.ts'
import { type Answer, JSON_TYPE, post, SAFETENSORS_TYPE, type Server, startServer } from './server.ts'

const whole = await startServer()
// what these compute is a part of it at most
const MAX_FLOPS = [14_000, 40_000]
const servers = await Promise.all(MAX_FLOPS.map(most => startServer({ MAX_FLOPS: String(most) })))
const [server] = servers
const draw = drawer(7)

type Body = Record<string, unknown>

async function fileOf(path: string, body?: Body, from = whole): Promise<Buffer> {
  const response = await fetch(from.url + path, {
    ...(body && { method: 'POST', body: JSON.stringify(body) }),
    headers: { accept: SAFETENSORS_TYPE, ...(body && { 'content-type': JSON_TYPE }) },
  })
  const bytes = Buffer.from(await response.arrayBuffer())
  expect(response.status, bytes.toString()).toBe(200)
  return bytes
}

async function jobOf(body: Body, server: Server): Promise<Answer['body']> {
  const taken = await post(server, '/v1/jobs', { endpoint: '/v1/attention', body })
  expect(taken.status, JSON.stringify(taken.body)).toBe(202)
  for (;;) {
    const response = await fetch(`${server.url}/v1/jobs/${taken.body.id}`)
    const job = (await response.json()) as Answer['body']
    if (!['queued', 'running'].includes(job.state)) return job
    await wait(5)
  }
}

const q = draw(3, 4, 9, 5)
const [k, v] = [draw(3, 2, 9, 5), draw(3, 2, 9, 4)]
const target = draw(3, 4, 9, 4)
const RETURN = ['output', 'weights', 'logsumexp', 'entropy', 'max_score']

function integers(...values: unknown[]) {
  return { shape: [values.length], dtype: 'int32', data: values }
}

const BODIES: [string, Body][] = [
  ['forward and backward', { q, k, v, causal: true, return: RETURN, backward: { target } }],
  [
    'a mean of a loss with lengths',
    {
      q,
      k,
      v,
      q_lengths: [9, 3, 5],
      kv_lengths: [2, 9, 4],
      backward: { target, loss: 'mean_squared_error' },
    },
  ],
  ['float64', { q, k, v, precision: 'float64', return: RETURN, backward: { target, grad_output: target } }],
  ['another type', { q, k, v, output_dtype: 'bfloat16', return: RETURN }],
  [
    'ALiBi, a window, a cap',
    { q, k, v, alibi: true, window: { left: 3 }, softcap: 2, backward: { grad_output: target } },
  ],
  ['a mask of every head and its gradient', { q, k, v, mask: draw(3, 4, 9, 9), backward: { target } }],
  [
    'a bool mask for all',
    {
      q,
      k,
      v,
      mask: Array.from({ length: 9 }, (_, i) => Array.from({ length: 9 }, (_, j) => j % 4 !== i % 3)),
      backward: { target },
    },
  ],
  [
    'a past',
    {
      q,
      k,
      v,
      past_k: draw(3, 2, 4, 5),
      past_v: draw(3, 2, 4, 4),
      causal: 'bottom_right',
      return: ['present_k', 'present_v', 'output'],
      backward: { target, wrt: ['past_k', 'past_v', 'q'] },
    },
  ],
  [
    'segments and rope',
    {
      q: draw(3, 4, 9, 6),
      k: draw(3, 2, 9, 6),
      v,
      segments: { q: [0, 1, 2].map(b => Array.from({ length: 9 }, (_, i) => Math.floor(i / (2 + b)))) },
      rope: { q_positions: [0, 1, 2].map(b => Array.from({ length: 9 }, (_, i) => i + b)) },
      backward: { target },
    },
  ],
  [
    'tangents',
    {
      q,
      k,
      v,
      return: ['output', 'weights', 'logsumexp'],
      jvp: { q: draw(3, 4, 9, 5), v: draw(3, 2, 9, 4) },
    },
  ],
  [
    'gradients of maps',
    { q, k, v, backward: { grad_weights: draw(3, 4, 9, 9), grad_logsumexp: draw(3, 4, 9) } },
  ],
  [
    'positions first',
    {
      layout: 'bnhd',
      q: draw(3, 9, 4, 5),
      k: draw(3, 9, 2, 5),
      v: draw(3, 9, 2, 4),
      return: RETURN,
      backward: { target: draw(3, 9, 4, 4) },
    },
  ],
  [
    'one item, its heads cut',
    {
      q: draw(1, 8, 9, 5),
      k: draw(1, 4, 9, 5),
      v: draw(1, 4, 9, 4),
      sinks: draw(8),
      relative_bias: { table: draw(8, 8) },
      backward: { target: draw(1, 8, 9, 4) },
    },
  ],
  [
    'one item, its heads cut, positions first',
    {
      layout: 'bnhd',
      q: draw(1, 9, 8, 5),
      k: draw(1, 9, 4, 5),
      v: draw(1, 9, 4, 4),
      return: RETURN,
      backward: { target: draw(1, 9, 8, 4) },
    },
  ],
  ['sums over the batch, its heads cut', { q, k, v, sinks: draw(4), backward: { target } }],
  [
    'one head',
    {
      q: draw(6, 9, 5),
      k: draw(6, 9, 5),
      v: draw(6, 9, 4),
      return: RETURN,
      backward: { target: draw(6, 9, 4) },
    },
  ],
  ['local', { q, k, v, attention_kind: { kind: 'local', window: 2 }, return: RETURN, backward: { target } }],
  ['strided', { q, k, v, attention_kind: { kind: 'strided', stride: 3 }, backward: { target } }],
  ['block', { q, k, v, attention_kind: { kind: 'block', size: 3 }, backward: { target } }],
  [
    'a NaN that goes through',
    {
      q: { shape: [3, 4, 9, 5], data: [...Array(540).keys()].map(i => (i === 100 ? 'NaN' : i % 7)) },
      k,
      v,
      non_finite: 'propagate',
      return: RETURN,
    },
  ],
  [
    'lengths as tensors',
    {
      q,
      k,
      v,
      kv_lengths: integers(2, 9, 4),
      causal: true,
      prefix_lengths: integers(1, 0, 3),
      backward: { target },
    },
  ],
]

describe('a job that is cut', () => {
  it.each(BODIES)('%s: has the bytes of the whole', async (_, body) => {
    const plans = await Promise.all(
      servers.map(each => post(each, '/v1/plan', { endpoint: '/v1/attention', body })),
    )
    const at = plans.findIndex(plan => plan.body.cut !== undefined)
    const [plan, server] = [plans[at], servers[at]]
    expect(at, JSON.stringify(plans[1].body)).not.toBe(-1)
    expect(plan.body.admitted).toBe(false)
    expect(plan.body.cut, JSON.stringify(plan.body)).toBeDefined()
    expect(plan.body.cut.flops).toBeLessThanOrEqual(MAX_FLOPS[at])
    const job = await jobOf(body, server)
    expect(job, JSON.stringify(job)).toMatchObject({ state: 'done', parts: plan.body.cut.parts })
    expect(job.parts).toBeGreaterThan(1)
    expect(job.progress).toEqual({ done: job.parts + 1, total: job.parts + 1 })
    const joined = await fileOf(job.result, undefined, server)
    expect(joined.equals(await fileOf('/v1/attention', body))).toBe(true)
  })

  it('is not taken where it cannot be cut: the problem says why', async () => {
    const wrong: [Body, string][] = [
      [{ q, k, v, dropout: { p: 0.5 } }, 'dropout'],
      [{ q, k, v, backward: { target, entropy_weight: 1 } }, 'entropy_weight'],
      [{ q, k, v, attention_kind: { kind: 'lsh' } }, 'lsh'],
      [{ q, k, v, mask: draw(9, 9), backward: { target } }, 'sums over batch and heads'],
      [{ q: draw(99, 9), k: draw(99, 9), v: draw(99, 9) }, 'nothing to cut'],
      [{ q: draw(2, 99, 9), k: draw(2, 99, 9), v: draw(2, 99, 9) }, 'one head'],
    ]
    for (const [body, why] of wrong) {
      const answer = await post(server, '/v1/jobs', { endpoint: '/v1/attention', body })
      expect(answer.status, JSON.stringify(answer.body)).toBe(413)
      expect(answer.body.code).toBe('COMPUTE_TOO_LARGE')
      expect(answer.body.detail).toContain(why)
      const plan = await post(server, '/v1/plan', { endpoint: '/v1/attention', body })
      expect(plan.body.cut).toBeUndefined()
    }
  })

  it('is refused at once where its data is wrong, at its place in the whole', async () => {
    const data = Array.from({ length: 540 }, (_, at) => (at === 400 ? 'NaN' : 1))
    const body = { q: { shape: [3, 4, 9, 5], data }, k, v, backward: { target } }
    const answer = await post(server, '/v1/jobs', { endpoint: '/v1/attention', body })
    expect(answer.body).toMatchObject({ status: 400, errors: [{ path: '/body/q/data/400' }] })
  })
})
