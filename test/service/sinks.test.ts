/**
 * Sinks, against attention with one key more: k = 0, v = 0, and the sink as that key's column of a float mask. Dropout draws by key,
 * so the others lose the same. And every gradient with sinks against central differences of the answered loss.
 */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { normalNumbers } from '../support/numbers.ts'
import { attention, post, type Server, startServer } from './server.ts'

const server = await startServer()

interface T {
  shape: number[]
  data: number[]
}

function random(seed: number, ...shape: number[]): T {
  const next = normalNumbers(seed)
  const count = shape.reduce((product, extent) => product * extent, 1)
  return { shape, data: Array.from({ length: count }, next) }
}

const flat = (value: unknown): number[] => (Array.isArray(value) ? value.flatMap(flat) : [Number(value)])
const wire = ({ shape, data }: T) => ({
  shape,
  data: data.map(x => (Number.isFinite(x) ? x : `${x < 0 ? '-' : ''}Infinity`)),
})

function near(actual: unknown, expected: number[], tolerance: number, what: string): void {
  const got = flat(actual)
  expect(got.length, what).toBe(expected.length)
  const finite = expected.filter(Number.isFinite)
  const scale = Math.max(1, ...finite.map(Math.abs))
  for (const [at, value] of expected.entries()) {
    if (Number.isFinite(value)) {
      expect(Math.abs(got[at] - value), `${what}[${at}]: ${got[at]}, not ${value}`).toBeLessThan(
        tolerance * scale,
      )
    } else expect(got[at], `${what}[${at}]`).toBe(value)
  }
}

/** x with one more column of `value` in each row of the last axis, or one more row of the axis before. */
function widened(x: T, value: (row: number) => number): T {
  const columns = x.shape[x.shape.length - 1]
  const rows = x.data.length / columns
  const data = Array.from({ length: rows }, (_, row) => [
    ...x.data.slice(row * columns, (row + 1) * columns),
    value(row),
  ]).flat()
  return { shape: [...x.shape.slice(0, -1), columns + 1], data }
}

function oneKeyMore(x: T): T {
  const [batch, heads, keys, dim] = x.shape
  const rows = keys * dim
  const data = Array.from({ length: batch * heads }, (_, head) => [
    ...x.data.slice(head * rows, (head + 1) * rows),
    ...Array.from({ length: dim }, () => 0),
  ]).flat()
  return { shape: [batch, heads, keys + 1, dim], data }
}

/** Without the last of every `keys + 1` runs of `dim` elements. */
function withoutLast(values: unknown, keys: number, dim: number): number[] {
  return flat(values).filter((_, at) => Math.floor(at / dim) % (keys + 1) < keys)
}

const RETURN = ['output', 'weights', 'dropped_weights', 'logsumexp', 'entropy']

const problems = fc.record({
  batch: fc.constantFrom(1, 2),
  kvHeads: fc.constantFrom(1, 2),
  group: fc.constantFrom(1, 3),
  queries: fc.constantFrom(1, 7, 29),
  keys: fc.constantFrom(1, 5, 97, 131),
  dimK: fc.constantFrom(1, 5, 16),
  dimV: fc.constantFrom(1, 3, 17),
  softcap: fc.constantFrom(undefined, 2),
  dropout: fc.constantFrom(undefined, { p: 0.3, seed: 5 }),
  bottomRight: fc.boolean(),
  holes: fc.constantFrom(0, 0.3, 0.9),
  spread: fc.constantFrom(1, 1, 60),
  seed: fc.nat(),
})

describe.each([
  ['float64', 1e-12],
  ['float32', 2e-5],
] as const)('in %s', (precision, tolerance) => {
  it('a sink is a key without a value', async () => {
    const property = fc.asyncProperty(problems, async ({ seed, ...c }) => {
      const heads = c.kvHeads * c.group
      const q = random(seed, c.batch, heads, c.queries, c.dimK)
      const k = random(seed + 1, c.batch, c.kvHeads, c.keys, c.dimK)
      const v = random(seed + 2, c.batch, c.kvHeads, c.keys, c.dimV)
      const grad = random(seed + 3, c.batch, heads, c.queries, c.dimV)
      const sinks = random(seed + 4, heads)
      sinks.data = sinks.data.map(x => Math.fround(c.spread * x))
      const mask = random(seed + 5, c.batch, heads, c.queries, c.keys)
      const chance = normalNumbers(seed + 6)
      mask.data = mask.data.map((x, at) => {
        const j = at % c.keys
        const i = Math.floor(at / c.keys) % c.queries
        const hidden = c.bottomRight && j > i + c.keys - c.queries
        return hidden || Math.abs(Math.sin(9 * chance())) < c.holes ? Number.NEGATIVE_INFINITY : x
      })
      const { softcap, dropout } = c
      const options = { softcap, dropout, precision, scale: 0.7, return: RETURN }
      const backward = { grad_output: grad }
      const sunk = await attention(server, { ...options, q, k, v, mask: wire(mask), sinks, backward })
      expect(sunk.status, JSON.stringify(sunk.body)).toBe(200)
      const wide = widened(mask, row => sinks.data[Math.floor(row / c.queries) % heads])
      const more = { q, k: oneKeyMore(k), v: oneKeyMore(v), mask: wire(wide) }
      const plain = await attention(server, { ...options, ...more, backward })
      const { body } = plain
      for (const name of ['output', 'logsumexp', 'entropy']) {
        near(sunk.body[name], flat(body[name]), tolerance, name)
      }
      for (const name of ['weights', 'dropped_weights']) {
        near(sunk.body[name], withoutLast(body[name], c.keys, 1), tolerance, name)
      }
      near(sunk.body.grads.q, flat(body.grads.q), tolerance, 'grads.q')
      near(sunk.body.grads.k, withoutLast(body.grads.k, c.keys, c.dimK), tolerance, 'grads.k')
      near(sunk.body.grads.v, withoutLast(body.grads.v, c.keys, c.dimV), tolerance, 'grads.v')
      near(sunk.body.grads.mask, withoutLast(body.grads.mask, c.keys, 1), tolerance, 'grads.mask')
      const gradSinks = sinks.data.map(() => 0)
      for (const [at, value] of flat(body.grads.mask).entries()) {
        if (at % (c.keys + 1) === c.keys) {
          gradSinks[Math.floor(at / ((c.keys + 1) * c.queries)) % heads] += value
        }
      }
      near(sunk.body.grads.sinks, gradSinks, tolerance, 'grads.sinks')
    })
    await fc.assert(property, { numRuns: 40 })
  }, 120_000)

  it('a row without a key has output 0, and the sink for its logsumexp', async () => {
    const body = {
      q: [[1], [2]],
      k: [[1]],
      v: [[3]],
      mask: [[false], [true]],
      sinks: [-0.5],
      precision,
      return: ['output', 'weights', 'logsumexp', 'entropy', 'max_score', 'masked_scores'],
      backward: { target: [[1], [1]], entropy_weight: 1 },
    }
    const { body: answer } = await attention(server, body)
    expect(answer.output[0]).toEqual([0])
    expect(answer.weights[0]).toEqual([0])
    expect(answer.entropy[0]).toBe(0)
    expect(answer.logsumexp[0]).toBe(-0.5)
    expect(answer.max_score).toBe(2)
    // the mean entropy is over the one row that attends to something
    const error = answer.output.flat().reduce((sum: number, x: number) => sum + (x - 1) ** 2, 0)
    expect(answer.loss).toBeCloseTo(error + answer.entropy[1], 5)
    const none = { ...body, mask: [[false], [false]] }
    const empty = await attention(server, none)
    expect(empty.body.loss).toBe(2)
    expect(empty.body.grads.sinks).toEqual([0])
  })

  it('large scores and sinks, and sinks far away', async () => {
    const body = {
      q: [[1]],
      k: [[1], [1]],
      v: [[2], [4]],
      scale: 1,
      precision,
      return: ['weights', 'output'],
    }
    const mask = [[-3e38, -3e38]]
    const third = await attention(server, { ...body, mask, sinks: [-3e38] })
    near(third.body.weights, [1 / 3, 1 / 3], 1e-6, 'weights')
    const none = await attention(server, { ...body, sinks: [-3e38] })
    near(none.body.weights, [0.5, 0.5], 1e-7, 'weights')
    const all = await attention(server, { ...body, sinks: [3e38] })
    expect(all.body).toEqual({ weights: [[0, 0]], output: [[0]] })
  })
})

type Body = Record<string, unknown>

/** Every gradient that comes back without being named, at some entries, against central differences of the loss. */
async function expectGradients(at: Server, path: string, body: Body, inputs: Record<string, T>) {
  const loss = async (others: Record<string, T>) => {
    const { status, body: answer } = await post(at, path, { ...body, ...others })
    expect(status, JSON.stringify(answer)).toBe(200)
    return answer
  }
  const whole = await loss(inputs)
  for (const [name, x] of Object.entries(inputs)) {
    const gradient = flat(whole.grads[name])
    expect(gradient.length, name).toBe(x.data.length)
    for (const pick of [0, 5, 11]) {
      const index = pick % x.data.length
      const step = 1e-5
      const moved = (by: number) => ({
        ...inputs,
        [name]: { ...x, data: x.data.map((value, at) => (at === index ? value + by : value)) },
      })
      const difference = ((await loss(moved(step))).loss - (await loss(moved(-step))).loss) / (2 * step)
      expect(Math.abs(difference - gradient[index]), `${name}[${index}]`).toBeLessThan(
        1e-6 * Math.max(1, ...gradient.map(Math.abs)),
      )
    }
  }
}

describe('gradients of a loss with entropies', () => {
  const inputs = {
    q: random(1, 2, 4, 9, 3),
    k: random(2, 2, 2, 11, 3),
    v: random(3, 2, 2, 11, 2),
    sinks: random(4, 4),
  }
  const backward = { target: random(5, 2, 4, 9, 2), entropy_weight: 0.7 }
  it.each([
    ['plain', {}],
    [
      'causal, lengths, softcap, dropout',
      {
        causal: 'bottom_right',
        kv_lengths: [0, 7],
        q_lengths: [5, 9],
        softcap: 2,
        dropout: { p: 0.3, seed: 1 },
      },
    ],
    ['strided', { attention_kind: { kind: 'strided', stride: 3 }, causal: true }],
    [
      'lsh of one bucket, a window',
      { attention_kind: { kind: 'lsh', buckets: 1 }, window: { left: 2, right: 1 } },
    ],
    ['local', { attention_kind: { kind: 'local', window: 2 } }],
  ])('%s', async (_, options) => {
    await expectGradients(server, '/v1/attention', { precision: 'float64', ...options, backward }, inputs)
  })

  it('in layers', async () => {
    const x = random(6, 2, 5, 4)
    const layer = { precision: 'float64', init: { seed: 2 } }
    const loss = { entropy_weight: -0.4, target: random(7, 2, 5, 4) }
    await expectGradients(
      server,
      '/v1/self-attention',
      { ...layer, backward: loss },
      { x, sinks: random(8, 1) },
    )
    const multi = { ...layer, heads: 2, causal: true, backward: loss }
    await expectGradients(server, '/v1/multi-head-attention', multi, { x, sinks: random(9, 2) })
  })
})

describe('what is wrong', () => {
  const [q, k, v] = [random(1, 1, 2, 3, 2), random(2, 1, 2, 3, 2), random(3, 1, 2, 3, 2)]
  it('names the field', async () => {
    const wrong = await attention(server, { q, k, v, sinks: [1, 2, 3] })
    expect(wrong.body).toMatchObject({ status: 400, code: 'SHAPE_MISMATCH', errors: [{ path: '/sinks' }] })
    expect(wrong.body.detail).toContain('expected [2], got [3]')
    const linear = await attention(server, { q, k, v, sinks: [1, 2], attention_kind: 'linear' })
    expect(linear.body.errors).toMatchObject([{ path: '/sinks' }])
    expect(linear.body.detail).toContain('attention_kind')
    const nothing = { q, k, v, backward: { grad_output: v, wrt: ['sinks'] } }
    expect((await attention(server, nothing)).body.errors).toMatchObject([{ path: '/backward/wrt/0' }])
  })

  it('is compared with exact attention with sinks, and planned', async () => {
    const options = { sinks: [1, 2], attention_kind: { kind: 'local', window: 9 }, compare_exact: true }
    const { body } = await attention(server, { q, k, v, ...options })
    expect(body.exact_error.max_abs).toBe(0)
    const shapes = { q: { shape: [1, 2, 3, 2] }, k: { shape: [1, 2, 3, 2] }, v: { shape: [1, 2, 3, 2] } }
    const request = { ...shapes, sinks: { shape: [2] }, backward: { grad_output: { shape: [1, 2, 3, 2] } } }
    const plan = await post(server, '/v1/plan', { endpoint: '/v1/attention', body: request })
    expect(plan.body.shapes['grads.sinks'], JSON.stringify(plan.body)).toEqual([2])
  })
})
