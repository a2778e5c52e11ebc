/** Layers of nothing, and layers with padding: gradients that are 0, and NaNs that reach no one. */
import { describe, expect, it } from 'vitest'
import { drawer, type Flat } from '../support/layer-cases.ts'
import { post, startServer } from './server.ts'

const server = await startServer()

const SELF = '/v1/self-attention'
const MULTI = '/v1/multi-head-attention'
const STACK = '/v1/transformer'

const APPROXIMATIONS = [
  'linear',
  { kind: 'lsh', chunk: 2, buckets: 2 },
  { kind: 'local', window: 2 },
  { kind: 'strided', stride: 2 },
  { kind: 'block', size: 2, previous: true },
]

const nothing = (...shape: number[]) => ({ shape, data: [] })
const one = { layers: 1, heads: 1 }

describe('sums over nothing are 0', () => {
  const flat = { encoding: 'flat', return: ['output', 'weights', 'entropy'] }
  const of = (loss: string, ...shape: number[]) => ({
    backward: { target: nothing(...shape), loss, entropy_weight: 1 },
  })
  const every = { ...one, heads: 2, layers: 2, activation: 'swiglu', init: { bias: true } }
  const cases: [string, string, object][] = [
    [
      'a batch of 0',
      STACK,
      {
        x: nothing(0, 3, 4),
        stack: { ...every, position: 'sinusoidal' },
        ...of('mean_squared_error', 0, 3, 4),
      },
    ],
    [
      'a sequence of 0',
      STACK,
      {
        x: nothing(2, 0, 4),
        stack: { ...every, position: 'rope', norm: 'pre' },
        ...of('mean_squared_error', 2, 0, 4),
      },
    ],
    [
      'a sequence of 0, checkpointed',
      STACK,
      { x: nothing(0, 4), stack: every, checkpoint: true, ...of('sum_squared_error', 0, 4) },
    ],
    ['no rows', SELF, { x: nothing(0, 300), init: { bias: true }, ...of('sum_squared_error', 0, 300) }],
    [
      'a batch of 0 across',
      MULTI,
      {
        x: nothing(0, 3, 4),
        context: nothing(0, 5, 6),
        heads: 2,
        init: { bias: true },
        ...of('sum_squared_error', 0, 3, 4),
      },
    ],
    [
      'no queries',
      MULTI,
      {
        x: nothing(1, 0, 4),
        context: drawer(1)(1, 5, 6),
        heads: 2,
        init: { bias: true },
        ...of('sum_squared_error', 1, 0, 4),
      },
    ],
  ]
  it.each(['float32', 'float64'].flatMap(precision => cases.map(each => [precision, ...each] as const)))(
    '%s: %s',
    async (precision, _name, path, body) => {
      const answer = await post(server, path, { ...body, ...flat, precision })
      expect(answer.status, JSON.stringify(answer.body)).toBe(200)
      expect(answer.body.loss).toBe(0)
      const gradients = Object.entries(answer.body.grads.params as Record<string, Flat>)
      expect(gradients.length).toBeGreaterThanOrEqual(6)
      for (const [name, { data }] of gradients) expect(new Set(data), name).toEqual(new Set([0]))
      for (const value of answer.body.grads.context?.data ?? []) expect(value).toBe(0)
    },
  )

  it.each(APPROXIMATIONS)('by %o', async kind => {
    for (const [positions, keys] of [
      [0, 5],
      [3, 0],
    ]) {
      const body = {
        x: drawer(1)(1, positions, 4),
        context: drawer(2)(1, keys, 6),
        heads: 2,
        init: {},
        attention_kind: kind,
        encoding: 'flat',
        backward: { grad_output: drawer(3)(1, positions, 4) },
      }
      const answer = await post(server, MULTI, body)
      expect(answer.status, JSON.stringify(answer.body)).toBe(200)
      for (const value of answer.body.output.data) expect(value).toBe(0)
      for (const { data } of Object.values(answer.body.grads.params as Record<string, Flat>)) {
        expect(new Set(data)).toEqual(new Set([0]))
      }
    }
  })

  it('a context of 0 positions: nothing is attended, w_o and b_o alone are answerable', async () => {
    const target = drawer(2)(1, 3, 4)
    const body = {
      x: drawer(1)(1, 3, 4),
      context: nothing(1, 0, 6),
      heads: 2,
      init: { bias: true },
      ...flat,
    }
    const answer = await post(server, MULTI, { ...body, backward: { target } })
    expect(new Set(answer.body.output.data)).toEqual(new Set([0]))
    for (const name of ['w_q', 'w_k', 'w_v', 'b_q', 'b_k', 'b_v', 'w_o']) {
      expect(new Set(answer.body.grads.params[name].data), name).toEqual(new Set([0]))
    }
    const sums = [0, 1, 2, 3].map(c => [0, 1, 2].reduce((sum, i) => sum - 2 * target.data[i * 4 + c], 0))
    for (const [c, sum] of sums.entries()) expect(answer.body.grads.params.b_o.data[c]).toBeCloseTo(sum, 5)
  })
})

describe('what stands in padding leaks nothing, not even a NaN', () => {
  const [batch, n, m, d] = [2, 6, 7, 8]
  const [qLengths, kvLengths] = [
    [4, 6],
    [5, 3],
  ]
  /** The tensor with that value in the rows of each batch element from its length on. */
  function spoiled(
    { shape, data }: Flat,
    lengths: number[],
    value: unknown,
  ): { shape: number[]; data: unknown[] } {
    const [, positions, width] = shape
    return {
      shape,
      data: data.map((each, at) => {
        const row = Math.floor(at / width)
        return row % positions < lengths[Math.floor(row / positions)] ? each : value
      }),
    }
  }

  type Answers = Record<string, Flat>
  function tensorsOf(body: Record<string, unknown>): Answers {
    const found: Answers = {}
    const walk = (value: unknown, path: string) => {
      if (typeof value !== 'object' || value === null) return
      if ('data' in value && 'shape' in value) found[path] = value as Flat
      else
        for (const [key, member] of Object.entries(value)) walk(member, path === '' ? key : `${path}.${key}`)
    }
    walk(body, '')
    return found
  }

  /** Gradients and loss must be the same; the answer's rows too, but for those that are padding. */
  async function expectNoLeak(
    path: string,
    precision: string,
    body: (value: unknown) => object,
    rowsOf: (name: string) => number | undefined,
  ) {
    const answers: Answers[] = []
    const losses: (number | undefined)[] = []
    for (const value of [0.5, 'NaN', '-Infinity']) {
      const request = { ...body(value), precision, encoding: 'flat', non_finite: 'propagate' }
      const answer = await post(server, path, request)
      expect(answer.status, JSON.stringify(answer.body)).toBe(200)
      answers.push(tensorsOf(answer.body))
      losses.push(answer.body.loss)
    }
    const [clean, ...others] = answers
    expect(Object.keys(clean).filter(name => name.startsWith('grads.')).length).toBeGreaterThan(3)
    for (const [index, other] of others.entries()) {
      if (losses[0] !== undefined) expect(losses[index + 1]).toBeCloseTo(losses[0], 4)
      for (const [name, { data }] of Object.entries(clean)) {
        const width = rowsOf(name)
        const live = ({ data: all }: Flat) =>
          width === undefined
            ? all
            : all.filter((_, at) => {
                const row = Math.floor(at / width)
                return row % n < qLengths[Math.floor(row / n)]
              })
        const right = live(clean[name])
        const got = live(other[name])
        expect(right.every(Number.isFinite), name).toBe(true)
        // kernels that watch for non-finite values add up in another order
        const largest = right.reduce((most, value) => Math.max(most, Math.abs(value)), 1)
        const worst = right.reduce((most, value, at) => Math.max(most, Math.abs(value - got[at])), 0)
        expect(worst / largest, name).toBeLessThan(precision === 'float64' ? 1e-14 : 1e-5)
        if (name === 'grads.x') expect(data.length).toBe(batch * n * d)
      }
    }
  }

  const draw = drawer(31)
  const [X, context, grad] = [draw(batch, n, d), draw(batch, m, d), draw(batch, n, d)]
  /** rows that are padding as queries and as keys */
  const both = qLengths.map((length, b) => Math.max(length, kvLengths[b]))

  const stacks = [
    { norm: 'post', activation: 'relu', position: 'sinusoidal' },
    { norm: 'pre', activation: 'gelu', position: 'rope', norm_kind: 'rms' },
    { norm: 'post', activation: 'silu', position: 'alibi', norm_kind: 'rms' },
    { norm: 'pre', activation: 'swiglu', causal: true },
    { norm: 'pre', activation: 'gelu_tanh', causal: 'bottom_right' },
  ]
  const variants = [{}, { checkpoint: true, dropout: { p: 0.2, seed: 3 } }, { qk_norm: 'l2', softcap: 3 }]
  const losses = [{}, { target: true, entropy_weight: 0.3 }]
  const all = ['float32', 'float64'].flatMap(precision =>
    stacks.flatMap((stack, index) => [
      [precision, stack, variants[index % 3], losses[index % 2]] as const,
      [precision, stack, variants[(index + 1) % 3], losses[(index + 1) % 2]] as const,
    ]),
  )
  it.each(all)(
    'stack in %s: %o %o %o',
    async (precision, stack, more, { target, ...loss }: { target?: boolean }) => {
      await expectNoLeak(
        STACK,
        precision,
        value => ({
          q_lengths: qLengths,
          kv_lengths: kvLengths,
          x: spoiled(X, both, value),
          ...more,
          stack: { ...stack, layers: 2, heads: 2, init: { seed: 4, bias: true } },
          return: ['output', 'entropy'],
          backward: { [target ? 'target' : 'grad_output']: spoiled(grad, qLengths, value), ...loss },
        }),
        name => (name === 'output' ? d : undefined),
      )
    },
  )

  const kinds = ['softmax', ...APPROXIMATIONS]
  it.each(['float32', 'float64'].flatMap(precision => kinds.map(kind => [precision, kind] as const)))(
    'cross-attention in %s: %o',
    async (precision, kind) => {
      await expectNoLeak(
        MULTI,
        precision,
        value => ({
          heads: 4,
          kv_heads: 2,
          q_lengths: qLengths,
          kv_lengths: kvLengths,
          attention_kind: kind,
          x: spoiled(X, qLengths, value),
          context: spoiled(context, kvLengths, value),
          init: { seed: 5, bias: true },
          return: ['output'],
          backward: {
            grad_output: spoiled(grad, qLengths, value),
            ...(kind === 'softmax' && { entropy_weight: 0.2 }),
          },
        }),
        name => (name === 'output' ? d : undefined),
      )
    },
  )

  it.each(
    ['float32', 'float64'].flatMap(precision => APPROXIMATIONS.map(kind => [precision, kind] as const)),
  )('a causal stack in %s: %o', async (precision, kind) => {
    await expectNoLeak(
      STACK,
      precision,
      value => ({
        q_lengths: qLengths,
        kv_lengths: kvLengths,
        x: spoiled(X, both, value),
        attention_kind: kind,
        stack: { layers: 2, heads: 2, norm: 'pre', position: 'rope', causal: true, init: { seed: 6 } },
        backward: { grad_output: spoiled(grad, qLengths, value) },
      }),
      name => (name === 'output' ? d : undefined),
    )
  })
})
