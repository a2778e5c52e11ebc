/** `POST /v1/gradient-check`: every gradient beside differences of the loss, and what differences cannot say. */
import { describe, expect, it } from 'vitest'
import { draw, type Flat } from './compare/tensors.ts'
import { post, settled, startServer } from './server.ts'

const server = await startServer()
const check = (endpoint: string, body: object, more: object = { entries: 6, directions: 2 }) =>
  post(server, '/v1/gradient-check', { endpoint, body, ...more })

interface Check {
  index?: number[]
  analytic: number
  numeric: number | null
  error: number | null
  kink?: string
}
interface InputReport {
  verdict: string
  worst: number | null
  kinks: number
  checks: Check[]
  directions: Check[]
}

const qkv = (seed = 1) => ({
  q: draw(seed, 1, 4, 5, 4),
  k: draw(seed + 1, 1, 2, 6, 4),
  v: draw(seed + 2, 1, 2, 6, 3),
})
const gradOutput = draw(9, 1, 4, 5, 3)

const mlp = (activation: string) => ({
  layers: 1,
  heads: 2,
  activation,
  init: { seed: 3, bias: true },
})

const BODIES: [string, string, object, string[]][] = [
  ['attention', '/v1/attention', { ...qkv(), backward: { grad_output: gradOutput } }, ['q', 'k', 'v']],
  [
    'every term of the loss',
    '/v1/attention',
    {
      ...qkv(),
      sinks: draw(3, 4),
      q_lengths: [4],
      causal: true,
      softcap: 2,
      mask: draw(4, 5, 6),
      backward: {
        grad_output: gradOutput,
        target: draw(5, 1, 4, 5, 3),
        grad_weights: draw(6, 1, 4, 5, 6),
        grad_logsumexp: draw(7, 1, 4, 5),
        entropy_weight: 0.3,
      },
    },
    ['q', 'k', 'v', 'mask', 'sinks'],
  ],
  [
    'options',
    '/v1/attention',
    {
      ...qkv(),
      rope: {},
      qk_norm: 'l2',
      dropout: { p: 0.2, seed: 5 },
      relative_bias: { table: draw(8, 32, 4) },
      backward: { target: draw(5, 1, 4, 5, 3), wrt: ['q', 'relative_bias.table'] },
    },
    ['q', 'relative_bias.table'],
  ],
  [
    'packed sequences',
    '/v1/attention',
    {
      q: draw(1, 5, 2, 4),
      k: draw(2, 5, 2, 4),
      v: draw(3, 5, 2, 4),
      cu_seqlens_q: [0, 2, 5],
      backward: {
        grad_output: draw(4, 5, 2, 4),
        grad_weights: draw(5, 2, 5, 5),
        grad_logsumexp: draw(6, 2, 5),
      },
    },
    ['q', 'k', 'v'],
  ],
  [
    'gates',
    '/v1/attention',
    {
      q: draw(1, 1, 2, 5, 3),
      k: draw(2, 1, 2, 5, 3),
      v: draw(3, 1, 2, 5, 3),
      attention_kind: {
        kind: 'gated_delta',
        gates: { decay: negative(draw(4, 1, 5, 2)), beta: draw(5, 1, 5, 2) },
      },
      backward: { grad_output: draw(6, 1, 2, 5, 3) },
    },
    ['q', 'k', 'v', 'attention_kind.gates.decay', 'attention_kind.gates.beta'],
  ],
  [
    'positions first',
    '/v1/attention',
    {
      q: draw(1, 2, 5, 2, 4),
      k: draw(2, 2, 5, 2, 4),
      v: draw(3, 2, 5, 2, 4),
      layout: 'bnhd',
      backward: { grad_output: draw(4, 2, 5, 2, 4) },
    },
    ['q', 'k', 'v'],
  ],
  [
    'a layer',
    '/v1/multi-head-attention',
    {
      x: draw(1, 2, 4, 6),
      heads: 2,
      init: { seed: 1, bias: true },
      q_lengths: [3, 4],
      backward: { grad_output: draw(2, 2, 4, 6) },
    },
    ['x', ...['w_q', 'w_k', 'w_v', 'b_q', 'b_k', 'b_v', 'w_o', 'b_o'].map(name => `params.${name}`)],
  ],
  [
    'an encoding',
    '/v1/positional-encoding',
    { kind: 'rope', x: draw(1, 2, 4, 6), backward: { target: draw(2, 2, 4, 6) } },
    ['x'],
  ],
]

function negative({ shape, data }: Flat) {
  return { shape, data: data.map(x => -Math.abs(x)) }
}

describe('right gradients', () => {
  it.each(BODIES)('%s', async (_, endpoint, body, names) => {
    const { status, body: answer } = await check(endpoint, body)
    expect([status, answer.detail]).toEqual([200, undefined])
    expect(Object.keys(answer.inputs)).toEqual(names)
    for (const [name, report] of Object.entries<InputReport>(answer.inputs)) {
      expect([name, report.verdict, report.kinks]).toEqual([name, 'pass', 0])
      expect(report.worst).toBeLessThan(1e-7)
      expect(report.directions.length).toBe(2)
    }
    expect(answer.verdict).toBe('pass')
  })

  it('of a stack with drawn parameters, an encoder and entropies', async () => {
    const { status, body } = await check(
      '/v1/transformer',
      {
        stack: { ...mlp('gelu'), layers: 2, norm: 'pre' },
        x: draw(1, 1, 3, 4),
        encoder: { stack: mlp('silu'), x: draw(2, 1, 4, 4), q_lengths: [3] },
        backward: {
          target: draw(3, 1, 3, 4),
          entropy_weight: 0.1,
          wrt: ['x', 'encoder.x', 'params.layers.1.ffn.w_1', 'encoder.params.layers.0.attention.w_q'],
        },
      },
      { entries: 3, directions: 1 },
    )
    expect([status, body.detail]).toEqual([200, undefined])
    expect(body.verdict).toBe('pass')
    expect(Object.keys(body.inputs).sort()).toEqual([
      'encoder.params.layers.0.attention.w_q',
      'encoder.x',
      'params.layers.1.ffn.w_1',
      'x',
    ])
    for (const report of Object.values<InputReport>(body.inputs)) expect(report.worst).toBeLessThan(1e-7)
  })

  it('names the element, and gives the same for the same seed', async () => {
    const body = { ...qkv(), backward: { grad_output: gradOutput } }
    const [one, same, other] = await Promise.all(
      [7, 7, 8].map(seed => check('/v1/attention', body, { entries: 5, seed })),
    )
    expect(one.body).toEqual(same.body)
    const indexes = (answer: { body: { inputs: Record<string, InputReport> } }) =>
      answer.body.inputs.q.checks.map(({ index }) => index)
    expect(indexes(one)).not.toEqual(indexes(other))
    expect(indexes(one).every(index => index?.length === 4)).toBe(true)
    const attention = await post(server, '/v1/attention', { ...body, precision: 'float64' })
    for (const { index, analytic } of one.body.inputs.q.checks) {
      const [b, h, i, d] = index
      expect(attention.body.grads.q[b][h][i][d]).toBeCloseTo(analytic, 12)
    }
    expect(one.body.inputs.q.directions.length).toBe(4)
  })

  it('looks at every element of an input that has no more, 32 and 4 by default', async () => {
    const { body } = await check('/v1/attention', { ...qkv(), backward: { grad_output: gradOutput } }, {})
    expect(body.inputs.q.checks.length).toBe(32)
    expect(body.inputs.v.checks.length).toBe(32)
    const few = await check(
      '/v1/attention',
      { ...qkv(), sinks: draw(3, 4), backward: { grad_output: gradOutput } },
      {},
    )
    expect(few.body.inputs.sinks.checks.map(({ index }: Check) => index)).toEqual([[0], [1], [2], [3]])
  })
})

describe('kinks', () => {
  it('of relu at 0: no verdict of it', async () => {
    const zeros = { shape: [1, 2, 4], data: Array(8).fill(0) }
    const { status, body } = await check('/v1/transformer', {
      stack: { ...mlp('relu'), norm: 'pre', init: { seed: 3, bias: true } },
      // rows of equal elements: the norm's output is 0, and so is what relu sees
      x: zeros,
      backward: { target: draw(3, 1, 2, 4), wrt: ['params.layers.0.ffn.b_1'] },
    })
    expect([status, body.detail]).toEqual([200, undefined])
    const { checks, kinks } = body.inputs['params.layers.0.ffn.b_1'] as InputReport
    expect(kinks).toBeGreaterThan(0)
    const kink = checks.find(each => each.kink !== undefined)
    expect(kink).toMatchObject({ error: null })
    expect(kink?.kink).toMatch(/relu: the slope is .* on the left and .* on the right/)
    expect(body.verdict).toBe('pass')
  })

  it('of −∞ in a mask', async () => {
    const tensor = (seed: number) => draw(seed, 1, 1, 2, 3)
    const { body } = await check('/v1/attention', {
      q: tensor(1),
      k: tensor(2),
      v: tensor(3),
      mask: [
        [0, '-Infinity'],
        [0.5, 0],
      ],
      backward: { grad_output: tensor(4), wrt: ['mask'] },
    })
    const { checks, kinks, verdict, worst } = body.inputs.mask as InputReport
    expect(checks.map(({ index, kink }) => [index, kink !== undefined])).toEqual([
      [[0, 0], false],
      [[0, 1], true],
      [[1, 0], false],
      [[1, 1], false],
    ])
    expect(checks[1]).toMatchObject({ analytic: 0, numeric: null, error: null })
    expect(checks[1].kink).toContain('-Infinity')
    expect([kinks, verdict]).toEqual([1, 'pass'])
    expect(worst).toBeLessThan(1e-7)
  })
})

describe('what cannot be checked', () => {
  it.each([
    ['no backward', '/v1/attention', qkv(), {}, '/body/backward', 'backward'],
    ['null for it', '/v1/attention', { ...qkv(), backward: null }, {}, '/body/backward', 'backward'],
    [
      'a wrong body',
      '/v1/attention',
      { ...qkv(), backward: { wrt: ['q'] } },
      {},
      '/body/backward',
      'grad_output',
    ],
    [
      'a wrong shape',
      '/v1/attention',
      { ...qkv(), backward: { grad_output: draw(1, 2, 2) } },
      {},
      '/body/backward/grad_output/shape',
      'expected',
    ],
    ['nothing to look at', '/v1/attention', qkv(), { entries: 0, directions: 0 }, '/entries', 'directions'],
    ['another resource', '/v1/compare', {}, {}, '/endpoint', '/v1/transformer'],
    ['a wrong number', '/v1/attention', qkv(), { entries: 1.5 }, '/entries', 'int'],
  ])('%s: a 400 that names it', async (_, endpoint, body, more, path, text) => {
    const { status, body: problem } = await check(endpoint, body, more)
    expect(status).toBe(400)
    expect(problem.errors.map((each: { path: string }) => each.path)).toContain(path)
    const found = problem.errors.find((each: { path: string }) => each.path === path)
    expect(found?.message).toContain(text)
  })

  it('a NaN in the encoder’s x: a 400 with its place', async () => {
    const x = draw(1, 1, 2, 4)
    const { status, body } = await check('/v1/transformer', {
      stack: mlp('gelu'),
      x,
      encoder: { stack: mlp('gelu'), x: [[[1, 2, 'NaN', 4]]] },
      backward: { target: x },
    })
    expect([status, body.errors?.[0].path]).toEqual([400, '/body/encoder/x/0/0/2'])
  })

  it('too many evaluations: a 413 that says how many', async () => {
    const x = { shape: [1, 100, 100] }
    const body = { stack: mlp('relu'), x, backward: { target: x } }
    const { body: plan } = await post(server, '/v1/plan', {
      endpoint: '/v1/gradient-check',
      body: { endpoint: '/v1/transformer', body, entries: 4096 },
    })
    expect(plan).toMatchObject({ status: 413, code: 'COMPUTE_TOO_LARGE' })
    expect(plan.detail).toMatch(/evaluations of the loss/)
  })
})

it('has a plan: as many times the loss as there are evaluations', async () => {
  const shape = { shape: [1, 2, 16, 8] }
  const body = { q: shape, k: shape, v: shape, backward: { grad_output: shape } }
  const planOf = async (endpoint: string, body: object) =>
    (await post(server, '/v1/plan', { endpoint, body })).body
  const forward = await planOf('/v1/attention', { q: shape, k: shape, v: shape })
  const plan = await planOf('/v1/gradient-check', {
    endpoint: '/v1/attention',
    body,
    entries: 2,
    directions: 1,
  })
  expect(plan).toMatchObject({ admitted: true })
  expect(plan.flops / forward.flops).toBeGreaterThan(1 + 8 * 9)
  expect(plan.flops / forward.flops).toBeLessThan(3 * (1 + 8 * 9))
})

it('ends where its client leaves, and gives its memory back', async () => {
  const used = server.app.engine.arena.usedBytes
  const tensor = draw(1, 1, 4, 64, 16)
  const leave = new AbortController()
  const asked = fetch(`${server.url}/v1/gradient-check`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      endpoint: '/v1/attention',
      body: { q: tensor, k: tensor, v: tensor, backward: { grad_output: tensor } },
      entries: 1000,
    }),
    signal: leave.signal,
  })
  setTimeout(() => leave.abort(), 300)
  await expect(asked).rejects.toThrow()
  expect(await settled(server, used)).toBe(used)
})
