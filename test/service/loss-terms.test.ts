/**
 * The loss as a sum of what `backward` gives: gradients of the output, of the weights and of logsumexp, a target, entropies. The
 * gradients against central differences of that loss, formed here from what is answered.
 */
import { describe, expect, it } from 'vitest'
import { normalNumbers } from '../support/numbers.ts'
import { attention, post, startServer } from './server.ts'

const server = await startServer()

interface T {
  shape: number[]
  data: number[]
}
type Body = Record<string, unknown>

function random(seed: number, ...shape: number[]): T {
  const next = normalNumbers(seed)
  const count = shape.reduce((product, extent) => product * extent, 1)
  return { shape, data: Array.from({ length: count }, next) }
}

const flat = (value: unknown): number[] => (Array.isArray(value) ? value.flatMap(flat) : [Number(value)])

/** Σ of what the loss has of each answered tensor; −∞ (a row that attends to nothing) has no part in it. */
function inner(gradient: T | undefined, value: unknown): number {
  if (gradient === undefined) return 0
  const values = flat(value)
  return gradient.data.reduce((sum, g, at) => (Number.isFinite(values[at]) ? sum + g * values[at] : sum), 0)
}

interface Terms {
  grad_output?: T
  grad_weights?: T
  grad_logsumexp?: T
  target?: T
  entropy_weight?: number
}

async function expectGradients(
  path: string,
  body: Body,
  terms: Terms,
  inputs: Record<string, T>,
  tolerance = 1e-6,
) {
  const run = async (others: Record<string, T>) => {
    const request = { precision: 'float64', ...body, ...others, backward: { ...terms } }
    const { status, body: answer } = await post(server, path, {
      ...request,
      return: ['output', 'weights', 'logsumexp'],
    })
    expect(status, JSON.stringify(answer)).toBe(200)
    expect('loss' in answer).toBe(terms.target !== undefined || terms.entropy_weight !== undefined)
    const loss =
      (answer.loss ?? 0) +
      inner(terms.grad_output, answer.output) +
      inner(terms.grad_weights, answer.weights) +
      inner(terms.grad_logsumexp, answer.logsumexp)
    return { loss, grads: answer.grads }
  }
  const { grads } = await run(inputs)
  for (const [name, x] of Object.entries(inputs)) {
    const gradient = flat(grads[name])
    expect(gradient.length, name).toBe(x.data.length)
    for (const pick of [0, 7, 29, 30]) {
      const index = pick % x.data.length
      const step = 1e-5
      const moved = (by: number) => ({
        ...inputs,
        [name]: { ...x, data: x.data.map((value, at) => (at === index ? value + by : value)) },
      })
      const difference = ((await run(moved(step))).loss - (await run(moved(-step))).loss) / (2 * step)
      const scale = Math.max(1, ...gradient.map(Math.abs))
      const message = `${name}[${index}]: ${gradient[index]}, ${difference} by differences`
      expect(Math.abs(difference - gradient[index]), message).toBeLessThan(tolerance * scale)
    }
  }
}

const inputs = { q: random(1, 2, 4, 9, 3), k: random(2, 2, 2, 13, 3), v: random(3, 2, 2, 13, 2) }
const ofWeights = random(4, 2, 4, 9, 13)
const ofLogsumexp = random(5, 2, 4, 9)
const ofOutput = random(6, 2, 4, 9, 2)
const target = random(7, 2, 4, 9, 2)
const sinks = random(8, 4)
const all = {
  grad_output: ofOutput,
  grad_weights: ofWeights,
  grad_logsumexp: ofLogsumexp,
  target,
  entropy_weight: 0.6,
}

describe('each term alone, and together', () => {
  it.each([
    ['grad_weights', { grad_weights: ofWeights }],
    ['grad_logsumexp', { grad_logsumexp: ofLogsumexp }],
    ['entropy_weight', { entropy_weight: 1 }],
    ['grad_output and target', { grad_output: ofOutput, target }],
    ['all', all],
  ])('%s', async (_, terms: Terms) => {
    await expectGradients('/v1/attention', {}, terms, inputs)
    await expectGradients('/v1/attention', { softcap: 2, causal: true }, terms, { ...inputs, sinks })
  })
})

describe('all terms beside options', () => {
  const mask = random(9, 4, 9, 13)
  it.each([
    ['dropout and a float mask', { dropout: { p: 0.4, seed: 3 } }, { ...inputs, mask }],
    [
      'lengths, bottom right, sinks',
      { q_lengths: [4, 9], kv_lengths: [13, 2], causal: 'bottom_right' },
      { ...inputs, sinks },
    ],
    ['a window that leaves rows nothing', { window: { left: 0, right: 1 }, causal: 'top_left' }, inputs],
    ['norm and rope', { qk_norm: 'l2', rope: { dims: 2 }, alibi: true }, inputs],
    ['local', { attention_kind: { kind: 'local', window: 2 } }, { ...inputs, sinks }],
  ])('%s', async (_, options, inputs) => {
    // padding has no part in a gradient, also where its logsumexp is the sink
    const padded = (at: number) => 'q_lengths' in options && at < 36 && at % 9 >= 4
    const grad_logsumexp = { ...ofLogsumexp, data: ofLogsumexp.data.map((g, at) => (padded(at) ? 0 : g)) }
    await expectGradients('/v1/attention', options, { ...all, grad_logsumexp }, inputs as Record<string, T>)
    if (!('q_lengths' in options)) return
    const request = { ...inputs, ...options, precision: 'float64' }
    const [one, other] = [
      await attention(server, { ...request, backward: { ...all, grad_logsumexp } }),
      await attention(server, { ...request, backward: all }),
    ]
    expect(other.body.grads).toEqual(one.body.grads)
  })

  it('strided and lsh take all but grad_weights', async () => {
    const { grad_weights: _, ...terms } = all
    for (const kind of [{ kind: 'strided', stride: 3 }, 'lsh']) {
      const body = { attention_kind: kind, causal: true }
      if (kind === 'lsh')
        await expectGradients('/v1/attention', body, terms, { v: inputs.v, sinks, ...rest() })
      else await expectGradients('/v1/attention', body, terms, { ...inputs, sinks })
    }
    function rest() {
      return { q: inputs.q, k: inputs.k }
    }
  })

  it('in layers', async () => {
    const x = random(10, 2, 5, 4)
    const self = { grad_weights: random(11, 2, 5, 5), grad_logsumexp: random(12, 2, 5) }
    const layer = { init: { seed: 2 }, causal: true }
    await expectGradients('/v1/self-attention', layer, self, { x })
    const multi = {
      grad_weights: random(13, 2, 2, 5, 5),
      grad_logsumexp: random(14, 2, 2, 5),
      grad_output: random(15, 2, 5, 4),
    }
    await expectGradients('/v1/multi-head-attention', { ...layer, heads: 2 }, multi, {
      x,
      sinks: random(16, 2),
    })
    const stack = { layers: 2, heads: 2, init: { seed: 3 } }
    const body = { stack, x, precision: 'float64', backward: { entropy_weight: 1 } }
    const { status, body: deep } = await post(server, '/v1/transformer', body)
    expect(status, JSON.stringify(deep)).toBe(200)
    expect(flat(deep.grads.x).some(g => g !== 0)).toBe(true)
  })
})

describe('float32', () => {
  it.each([
    ['awkward sizes', { softcap: 3, causal: 'bottom_right', alibi: true }, [1, 4, 59, 7], [1, 2, 131, 7]],
    ['dropout', { dropout: { p: 0.2, seed: 4 } }, [2, 3, 25, 16], [2, 1, 97, 16]],
    ['few heads, long keys', { window: { left: 300, right: 20 } }, [1, 1, 200, 8], [1, 1, 1031, 8]],
  ])('%s', async (_, options, ofQ, ofK) => {
    const [b, h, n] = ofQ
    const m = ofK[2]
    const body = {
      q: random(1, ...ofQ),
      k: random(2, ...ofK),
      v: random(3, ...ofK),
      sinks: random(4, h),
      ...options,
      backward: {
        grad_weights: random(5, b, h, n, m),
        grad_logsumexp: random(6, b, h, n),
        target: random(7, b, h, n, ofK[3]),
        entropy_weight: 3,
      },
    }
    const [single, double] = [
      await attention(server, body),
      await attention(server, { ...body, precision: 'float64' }),
    ]
    for (const [name, right] of Object.entries(double.body.grads)) {
      const expected = flat(right)
      const got = flat(single.body.grads[name])
      const scale = Math.max(...expected.map(Math.abs))
      const worst = Math.max(...expected.map((value, at) => Math.abs(value - got[at])))
      expect(worst / scale, name).toBeLessThan(1e-5)
    }
  })

  it('a row with a single key has a gradient of exactly 0, and NaN where nothing is attended is not seen', async () => {
    const body = {
      q: [[0.3], [0.7]],
      k: [[1.1], [2]],
      v: [[3], [1]],
      causal: true,
      backward: {
        grad_weights: [
          [0.37, 'NaN'],
          [1, 2],
        ],
      },
      non_finite: 'propagate',
    }
    for (const precision of ['float32', 'float64']) {
      const { body: answer } = await attention(server, { ...body, precision })
      expect(answer.grads.q[0]).toEqual([0])
      expect(flat(answer.grads).length).toBe(1)
      expect(flat([answer.grads.q, answer.grads.k, answer.grads.v]).every(Number.isFinite)).toBe(true)
    }
  })
})

describe('what is wrong', () => {
  const wrongs: [Body, string, RegExp][] = [
    [{ backward: {} }, '/backward', /at least one of grad_output, target, grad_weights, grad_logsumexp/],
    [{ backward: { grad_weights: random(1, 2, 4, 9, 2) } }, '/backward/grad_weights', /\[2, 4, 9, 13\]/],
    [{ backward: { grad_logsumexp: random(1, 2, 4, 8) } }, '/backward/grad_logsumexp', /\[2, 4, 9\]/],
    [
      { backward: { grad_weights: ofWeights }, attention_kind: 'lsh' },
      '/backward/grad_weights',
      /attention_kind/,
    ],
    [
      { backward: { grad_weights: ofWeights }, attention_kind: 'strided' },
      '/backward/grad_weights',
      /attention_kind/,
    ],
    [
      { backward: { grad_logsumexp: ofLogsumexp }, attention_kind: 'linear' },
      '/backward/grad_logsumexp',
      /attention_kind/,
    ],
    [{ backward: { grad_output: ofOutput, loss: 'mean_squared_error' } }, '/backward/loss', /target/],
  ]
  it.each(wrongs)('%#', async (more, path, message) => {
    const { status, body } = await attention(server, { ...inputs, ...more })
    expect(status).toBe(400)
    expect(body.errors[0].path).toMatch(new RegExp(`^${path}`))
    expect(body.detail).toMatch(message)
  })

  it('a stack has neither', async () => {
    const stack = { layers: 1, heads: 1, init: { seed: 3 } }
    const body = { stack, x: random(1, 3, 4), backward: { grad_weights: random(2, 1, 3, 3) } }
    const { status, body: answer } = await post(server, '/v1/transformer', body)
    expect(status).toBe(400)
    expect(answer.detail).toContain('grad_weights')
  })

  it('plans them', async () => {
    const body = {
      q: { shape: [2, 4, 9, 3] },
      k: { shape: [2, 2, 13, 3] },
      v: { shape: [2, 2, 13, 2] },
      backward: { grad_weights: { shape: [2, 4, 9, 13] }, grad_logsumexp: { shape: [2, 4, 9] } },
    }
    const plan = await post(server, '/v1/plan', { endpoint: '/v1/attention', body })
    expect(plan.body.shapes['grads.q'], JSON.stringify(plan.body)).toEqual([2, 4, 9, 3])
  })
})
