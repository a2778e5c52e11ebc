import { describe, expect, it } from 'vitest'
import { attention, post, settled, startServer } from './server.ts'

const server = await startServer()
const before = server.app.engine.arena.usedBytes
const I = [
  [1, 0, 0, 0],
  [0, 1, 0, 0],
  [0, 0, 1, 0],
]

/** off the diagonal, on it; the fourth column is 0 */
const pattern = (on: number, off: number) =>
  [0, 1, 2].map(i => [...[0, 1, 2].map(j => (i === j ? on : off)), 0])

function near(actual: unknown, expected: unknown, digits: number): void {
  const flat = (value: unknown): number[] => (Array.isArray(value) ? value.flatMap(flat) : [Number(value)])
  const [a, e] = [flat(actual), flat(expected)]
  expect(a.length).toBe(e.length)
  for (const [index, value] of e.entries()) expect(a[index]).toBeCloseTo(value, digits)
}

describe('the worked example of the article', () => {
  for (const precision of ['float64', 'float32']) {
    it(`has the right numbers in ${precision}`, async () => {
      const request = {
        q: I,
        k: I,
        v: I,
        precision,
        return: ['output', 'weights', 'scores', 'entropy'],
        backward: { target: I },
      }
      const { status, body } = await attention(server, request)
      expect(status).toBe(200)
      near(
        body.scores,
        [
          [0.5, 0, 0],
          [0, 0.5, 0],
          [0, 0, 0.5],
        ],
        6,
      )
      near(
        body.weights,
        pattern(0.451863, 0.274069).map(row => row.slice(0, 3)),
        6,
      )
      near(body.output, pattern(0.451863, 0.274069), 6)
      near(body.entropy, [1.068445, 1.068445, 1.068445], 6)
      near(body.loss, 1.352045, 5)
      near(body.grads.v, pattern(-0.194911, 0.097456), 6)
      near(body.grads.q, pattern(-0.203646, 0.101823), 6)
      near(body.grads.k, pattern(-0.203646, 0.101823), 6)
    })
  }

  it('has the two heads of the article’s split', async () => {
    const heads = [I.map(row => row.slice(0, 2)), I.map(row => row.slice(2))]
    const request = {
      q: [heads],
      k: [heads],
      v: [heads],
      return: ['weights', 'output'],
      precision: 'float64',
    }
    const { body } = await attention(server, request)
    const third = 1 / 3
    const [on, off] = [0.50349, 0.248255]
    near(
      body.weights[0][0],
      [
        [on, off, off],
        [off, on, off],
        [third, third, third],
      ],
      6,
    )
    near(
      body.weights[0][1],
      [
        [third, third, third],
        [third, third, third],
        [off, off, on],
      ],
      6,
    )
  })
})

describe('float32 answers', () => {
  it('are printed with the fewest digits', async () => {
    const { body } = await attention(server, { q: [[1]], k: [[1]], v: [[0.1]] })
    expect(body.output).toEqual([[0.1]])
    const text = await fetch(`${server.url}/v1/attention`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{"q":[[1]],"k":[[1]],"v":[[0.1]]}',
    }).then(response => response.text())
    expect(text).toBe('{"output":[[0.1]]}')
  })

  it('can come in another element type', async () => {
    const q = [[1]]
    const half = await attention(server, { q, k: q, v: [[0.1]], encoding: 'base64', output_dtype: 'float16' })
    expect(half.body.output).toEqual({ shape: [1, 1], dtype: 'float16', base64: 'Zi4=' })
    const wide = await attention(server, { q, k: q, v: [[0.1]], output_dtype: 'float64' })
    expect(wide.body.output).toEqual([[Math.fround(0.1)]])
  })
})

describe('ranks and sizes', () => {
  it('answers in the rank of q', async () => {
    for (const wrap of [1, 2].map(depth => (tensor: unknown) => (depth === 1 ? [tensor] : [[tensor]]))) {
      const { body } = await attention(server, {
        q: wrap(I),
        k: wrap(I),
        v: wrap(I),
        return: ['weights', 'logsumexp'],
      })
      const plain = await attention(server, { q: I, k: I, v: I, return: ['weights', 'logsumexp'] })
      expect(body.weights).toEqual(wrap(plain.body.weights))
      expect(body.logsumexp).toEqual(wrap(plain.body.logsumexp))
    }
  })

  it('takes B, N and M of 0', async () => {
    const empty = (shape: number[]) => ({ shape, data: [] })
    const flat = { encoding: 'flat', return: ['output', 'weights', 'logsumexp'] }
    const backward = (shape: number[]) => ({
      backward: { target: { shape, data: shape.includes(0) ? [] : [1, 1] } },
    })
    const noBatch = await attention(server, {
      q: empty([0, 2, 3, 4]),
      k: empty([0, 1, 3, 4]),
      v: empty([0, 1, 3, 2]),
      ...flat,
      ...backward([0, 2, 3, 2]),
    })
    expect(noBatch.body.output).toEqual({ shape: [0, 2, 3, 2], dtype: 'float32', data: [] })
    expect(noBatch.body.loss).toBe(0)
    const noKeys = await attention(server, {
      q: [[1, 2]],
      k: empty([0, 2]),
      v: empty([0, 2]),
      ...flat,
      ...backward([1, 2]),
    })
    expect(noKeys.body.output.data).toEqual([0, 0])
    expect(noKeys.body.logsumexp.data).toEqual(['-Infinity'])
    expect(noKeys.body.loss).toBe(2)
    expect(noKeys.body.grads.q.data).toEqual([0, 0])
    const noQueries = await attention(server, {
      q: empty([0, 2]),
      k: [[1, 2]],
      v: [[1, 2]],
      ...flat,
      ...backward([0, 2]),
    })
    expect(noQueries.body.grads.k.data).toEqual([0, 0])
    const nested = await attention(server, { q: empty([2, 0, 3]), k: empty([2, 0, 3]), v: empty([2, 0, 1]) })
    expect(nested.body.output).toEqual([[], []])
  })
})

describe('options reach the kernels', () => {
  const q = [
    [0.3, -1.2],
    [0.7, 0.4],
    [-0.5, 0.9],
  ]
  const k = [
    [1, 0.2],
    [-0.3, 0.8],
    [0.5, -0.6],
    [0.1, 1.1],
  ]
  const v = [
    [1, 2],
    [3, 4],
    [5, 6],
    [7, 8],
  ]
  const base = { q, k, v, precision: 'float64', return: ['masked_scores', 'weights', 'output'] }
  const run = async (more: object) => (await attention(server, { ...base, ...more })).body
  const dot = (i: number, j: number) => (q[i][0] * k[j][0] + q[i][1] * k[j][1]) / Math.SQRT2
  const scores = (f: (s: number, i: number, j: number) => number) =>
    q.map((_, i) => k.map((_, j) => f(dot(i, j), i, j)))
  const MINUS = Number.NEGATIVE_INFINITY
  const masked = (body: { masked_scores: unknown[][] }) => body.masked_scores.map(row => row.map(Number))

  it.each([
    ['scale', { scale: 2 }, (s: number) => s * 2 * Math.SQRT2],
    ['softcap', { softcap: 0.5 }, (s: number) => 0.5 * Math.tanh(s / 0.5)],
    ['causal', { causal: true }, (s: number, i: number, j: number) => (j <= i ? s : MINUS)],
    [
      'bottom_right',
      { causal: 'bottom_right' },
      (s: number, i: number, j: number) => (j <= i + 1 ? s : MINUS),
    ],
    [
      'window',
      { window: { left: 1, right: 0 } },
      (s: number, i: number, j: number) => (j >= i - 1 && j <= i ? s : MINUS),
    ],
    [
      'open window',
      { window: { left: null, right: 1 } },
      (s: number, i: number, j: number) => (j <= i + 1 ? s : MINUS),
    ],
    [
      'lengths',
      { kv_lengths: [2], q_lengths: [2] },
      (s: number, i: number, j: number) => (i < 2 && j < 2 ? s : MINUS),
    ],
    [
      'bottom_right with lengths',
      { causal: 'bottom_right', kv_lengths: [3], q_lengths: [2] },
      (s: number, i: number, j: number) => (i < 2 && j < 3 && j <= i + 1 ? s : MINUS),
    ],
    [
      'bool mask',
      { mask: [[true, false, true, true]] },
      (s: number, _i: number, j: number) => (j !== 1 ? s : MINUS),
    ],
    ['float mask', { mask: [[0.5], ['-Infinity'], [-1]] }, (s: number, i: number) => s + [0.5, MINUS, -1][i]],
    ['numbers are a float mask', { mask: [[0, 1, 0, 1]] }, (s: number, _i: number, j: number) => s + (j % 2)],
    ['alibi', { alibi: [0.25] }, (s: number, i: number, j: number) => s - 0.25 * Math.abs(i - j)],
    [
      'alibi of the paper',
      { alibi: true },
      (s: number, i: number, j: number) => s - 2 ** -8 * Math.abs(i - j),
    ],
    [
      'alibi bottom_right',
      { alibi: [0.25], causal: 'bottom_right' },
      (s: number, i: number, j: number) => (j <= i + 1 ? s - 0.25 * Math.abs(i + 1 - j) : MINUS),
    ],
  ])('%s', async (_name, options, expected) => {
    near(masked(await run(options)), scores(expected), 12)
  })

  it('qk_norm and rope', async () => {
    const norm = (x: number[]) => x.map(value => value / Math.hypot(...x))
    const { masked_scores } = await run({ qk_norm: 'l2' })
    near(
      masked_scores,
      q.map(a => k.map(b => (norm(a)[0] * norm(b)[0] + norm(a)[1] * norm(b)[1]) / Math.SQRT2)),
      12,
    )
    const turned = (x: number[], p: number) => [
      x[0] * Math.cos(p) - x[1] * Math.sin(p),
      x[0] * Math.sin(p) + x[1] * Math.cos(p),
    ]
    const rope = await run({ rope: { q_offset: 5, k_offset: 2 } })
    const expected = q.map((a, i) =>
      k.map((b, j) => {
        const [x, y] = [turned(a, i + 5), turned(b, j + 2)]
        return (x[0] * y[0] + x[1] * y[1]) / Math.SQRT2
      }),
    )
    near(rope.masked_scores, expected, 12)
  })

  it('dropout repeats from its seed, and not from another', async () => {
    const request = (seed: number) =>
      run({ dropout: { p: 0.5, seed }, return: ['dropped_weights', 'weights', 'output'] })
    const [one, again, other] = [await request(7), await request(7), await request(8)]
    expect(one).toEqual(again)
    expect(one.dropped_weights).not.toEqual(other.dropped_weights)
    for (const [i, row] of one.dropped_weights.entries()) {
      for (const [j, weight] of row.entries())
        if (weight !== 0) expect(weight).toBeCloseTo(2 * one.weights[i][j], 12)
    }
  })

  it('entropy term and mean loss', async () => {
    const target = [
      [0, 0],
      [1, 1],
      [2, 2],
    ]
    const plain = await run({ return: ['output', 'entropy'] })
    const squares = plain.output.flatMap((row: number[], i: number) =>
      row.map((o, d) => (o - target[i][d]) ** 2),
    )
    const sum = squares.reduce((a: number, b: number) => a + b, 0)
    const entropy = plain.entropy.reduce((a: number, b: number) => a + b, 0) / 3
    const loss = async (backward: object) => (await run({ backward })).loss
    expect(await loss({ target })).toBeCloseTo(sum, 12)
    expect(await loss({ target, loss: 'mean_squared_error' })).toBeCloseTo(sum / 6, 12)
    expect(await loss({ target, entropy_weight: 0.3 })).toBeCloseTo(sum + 0.3 * entropy, 12)
    expect(await loss({ grad_output: target, entropy_weight: 0.3 })).toBeCloseTo(0.3 * entropy, 12)
    expect(await loss({ grad_output: target })).toBeUndefined()
    expect(await loss({ target, loss: 'mean_squared_error' })).not.toBe(0)
    const padded = await run({ q_lengths: [2], backward: { target, loss: 'mean_squared_error' } })
    expect(padded.loss).toBeCloseTo(squares.slice(0, 4).reduce((a: number, b: number) => a + b, 0) / 4, 12)
  })

  it('wrt chooses the gradients; a float mask has one in its own shape', async () => {
    const target = [
      [0, 0],
      [1, 1],
      [2, 2],
    ]
    const mask = { shape: [1, 4], data: [0, 0.5, 0, '-Infinity'] }
    const all = await run({ mask, backward: { target } })
    expect(Object.keys(all.grads)).toEqual(['q', 'k', 'v', 'mask'])
    expect(all.grads.mask.length).toBe(1)
    expect(all.grads.mask[0][3]).toBe(0)
    const some = await run({ mask, backward: { target, wrt: ['v', 'mask'] } })
    expect(some.grads).toEqual({ v: all.grads.v, mask: all.grads.mask })
    expect((await run({ mask, backward: { target, wrt: [] } })).grads).toEqual(all.grads)
  })

  it('a NaN that propagates shows only where it is attended', async () => {
    const bad = [...v.slice(0, 3), ['NaN', 1]]
    const body = await run({
      v: bad,
      kv_lengths: [3],
      non_finite: 'propagate',
      backward: {
        grad_output: [
          [1, 1],
          [1, 1],
          [1, 1],
        ],
      },
    })
    const clean = await run({
      kv_lengths: [3],
      backward: {
        grad_output: [
          [1, 1],
          [1, 1],
          [1, 1],
        ],
      },
    })
    expect(body).toEqual(clean)
    const seen = await run({ v: bad, non_finite: 'propagate' })
    expect(seen.output.map((row: unknown[]) => row[0])).toEqual(['NaN', 'NaN', 'NaN'])
    const single = await run({ v: bad, kv_lengths: [3], non_finite: 'propagate', precision: 'float32' })
    expect(JSON.stringify(single)).not.toContain('NaN')
  })
})

describe('a request', () => {
  it('gives the same bits on one thread and on two, small or cut', async () => {
    const one = await startServer({ THREADS: '1' })
    const random = (seed: number) => (count: number) =>
      Array.from({ length: count }, (_, i) => Math.sin(seed * 1000 + i * i) * 2)
    for (const shape of [
      [1, 2, 7, 5],
      [2, 4, 300, 33],
    ]) {
      const [B, H, N, d] = shape
      const kv = [B, H / 2, N + 3, d]
      const size = (s: number[]) => s.reduce((a, b) => a * b, 1)
      const request = {
        q: { shape, data: random(1)(size(shape)) },
        k: { shape: kv, data: random(2)(size(kv)) },
        v: { shape: kv, data: random(3)(size(kv)) },
        ...{
          causal: true,
          dropout: { p: 0.1, seed: 3 },
          return: ['output', 'logsumexp'],
          encoding: 'base64',
        },
        backward: { target: { shape, data: random(4)(size(shape)) }, entropy_weight: 0.1 },
      }
      const [a, b] = [await attention(one, request), await attention(server, request)]
      expect(a.status).toBe(200)
      expect(b.body).toEqual(a.body)
    }
  })

  it('gives the same answer from addresses above 2 GiB', async () => {
    const high = await startServer({ MEMORY_BYTES: String(3.5 * 2 ** 30) }, { fill: undefined })
    high.app.engine.arena.allocate(2.5 * 2 ** 30)
    const mask = [[0, -1, '-Infinity']]
    const request = {
      q: I,
      k: I,
      v: I,
      mask,
      causal: true,
      qk_norm: 'l2',
      rope: {},
      dropout: { p: 0.2, seed: 5 },
      alibi: true,
    }
    const more = { return: ['output', 'weights', 'scores'], backward: { target: I, entropy_weight: 0.1 } }
    const answer = await attention(high, { ...request, ...more })
    expect(answer.status).toBe(200)
    expect(answer.body).toEqual((await attention(server, { ...request, ...more })).body)
  })

  it('with null members is the same as without them', async () => {
    const { body } = await attention(server, { q: I, k: I, v: I, mask: null, backward: null, scale: null })
    expect(body).toEqual((await attention(server, { q: I, k: I, v: I })).body)
  })

  it('is planned as it is computed', async () => {
    const shapes = {
      q: { shape: [2, 4, 10, 8] },
      k: { shape: [2, 2, 12, 8] },
      v: { shape: [2, 2, 12, 6] },
      mask: { shape: [10, 12] },
    }
    const plan = await post(server, '/v1/plan', {
      endpoint: '/v1/attention',
      body: { ...shapes, return: ['weights'], backward: { target: { shape: [2, 4, 10, 6] } } },
    })
    expect(plan.status).toBe(200)
    expect(plan.body.admitted).toBe(true)
    expect(plan.body.shapes).toEqual({
      weights: [2, 4, 10, 12],
      'grads.q': [2, 4, 10, 8],
      'grads.k': [2, 2, 12, 8],
      'grads.v': [2, 2, 12, 6],
      'grads.mask': [10, 12],
    })
    expect(plan.body.flops).toBeGreaterThan(2 * 2 * 4 * 10 * 12 * (8 + 6))
    const huge = { shape: [1, 1, 1_000_000_000, 64] }
    const refused = await post(server, '/v1/plan', {
      endpoint: '/v1/attention',
      body: { q: huge, k: huge, v: huge },
    })
    expect(refused.body).toMatchObject({
      admitted: false,
      problem: { status: 413, code: 'COMPUTE_TOO_LARGE' },
    })
    const wrong = await post(server, '/v1/plan', { endpoint: '/v1/attention', body: { q: huge, k: huge } })
    expect(wrong.body.errors[0].path).toBe('/body/v')
  })

  it('leaves no memory behind', async () => {
    expect(await settled(server, before)).toBe(before)
  })
})

it('the schema takes every option of the contract', async () => {
  const document = (await (await fetch(`${server.url}/openapi.json`)).json()) as {
    components: { schemas: { AttentionRequest: { properties: object } } }
  }
  const { properties } = document.components.schemas.AttentionRequest
  expect(Object.keys(properties).sort()).toEqual([
    'alibi',
    'attention_kind',
    'backward',
    'causal',
    'compare_exact',
    'cu_seqlens_k',
    'cu_seqlens_q',
    'dialect',
    'dropout',
    'empty_rows',
    'emulate',
    'encoding',
    'jvp',
    'k',
    'kv_lengths',
    'layout',
    'mask',
    'non_finite',
    'output_dtype',
    'past_k',
    'past_v',
    'precision',
    'prefix_lengths',
    'q',
    'q_lengths',
    'qk_norm',
    'relative_bias',
    'return',
    'rope',
    'scale',
    'segments',
    'sinks',
    'softcap',
    'state',
    'v',
    'window',
  ])
})
