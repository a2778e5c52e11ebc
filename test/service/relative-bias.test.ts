/** T5's relative bias, against attention with the same numbers in a float mask. */
import { describe, expect, it } from 'vitest'
import { normalNumbers } from '../support/numbers.ts'
import { attention, post, startServer } from './server.ts'

const server = await startServer()

function random(seed: number, ...shape: number[]) {
  const next = normalNumbers(seed)
  const count = shape.reduce((product, extent) => product * extent, 1)
  return { shape, data: Array.from({ length: count }, next) }
}

const flat = (value: unknown): number[] => (Array.isArray(value) ? value.flatMap(flat) : [Number(value)])

/** transformers' T5Attention._relative_position_bucket, line by line. */
function bucketOf(position: number, bidirectional: boolean, buckets: number, maxDistance: number): number {
  let result = 0
  let count = buckets
  let away = position
  if (bidirectional) {
    count = Math.floor(count / 2)
    result += position > 0 ? count : 0
    away = Math.abs(position)
  } else away = -Math.min(position, 0)
  const exact = Math.floor(count / 2)
  if (away < exact) return result + away
  const large = exact + Math.trunc((Math.log(away / exact) / Math.log(maxDistance / exact)) * (count - exact))
  return result + Math.min(large, count - 1)
}

const RETURN = ['output', 'weights', 'masked_scores', 'logsumexp']

describe.each([
  ['float64', 1e-11],
  ['float32', 3e-5],
] as const)('in %s', (precision, tolerance) => {
  const near = (actual: unknown, expected: number[], what: string) => {
    const got = flat(actual)
    expect(got.length, what).toBe(expected.length)
    const scale = Math.max(1, ...expected.filter(Number.isFinite).map(Math.abs))
    for (const [at, value] of expected.entries()) {
      if (Number.isFinite(value))
        expect(Math.abs(got[at] - value), `${what}[${at}]`).toBeLessThan(tolerance * scale)
      else expect(got[at], `${what}[${at}]`).toBe(value)
    }
  }

  it.each([
    ['plain', {}, { buckets: 32 }, [0, 0]],
    ['one direction, causal', { causal: true }, { buckets: 32, bidirectional: false }, [0, 0]],
    ['few buckets, near', { softcap: 2 }, { buckets: 6, max_distance: 7 }, [0, 0]],
    [
      'bottom right',
      { causal: 'bottom_right', dropout: { p: 0.2, seed: 4 } },
      { buckets: 9, max_distance: 40 },
      [86, 86],
    ],
    [
      'bottom right with lengths, sinks',
      { causal: 'bottom_right', q_lengths: [45, 7], kv_lengths: [3, 131], sinks: [1, -1, 0.5, 2] },
      { buckets: 16, bidirectional: false },
      [3 - 45, 131 - 7],
    ],
    [
      'local, a window',
      { attention_kind: { kind: 'local', window: 9 }, window: { left: 5 } },
      { buckets: 4 },
      [0, 0],
    ],
  ] as const)('%s', async (_, options, { buckets, ...bias }, shifts) => {
    const [B, H, N, M] = [2, 4, 45, 131]
    const inputs = { q: random(1, B, H, N, 5), k: random(2, B, 2, M, 5), v: random(3, B, 2, M, 3) }
    const table = random(4, buckets, H)
    const { bidirectional = true, max_distance = 128 } = bias as {
      bidirectional?: boolean
      max_distance?: number
    }
    const at = (b: number, i: number, j: number) =>
      bucketOf(j - i - shifts[b], bidirectional, buckets, max_distance)
    const index = Array.from({ length: B * H * N * M }, (_, e) => {
      const h = Math.floor(e / (N * M)) % H
      return at(Math.floor(e / (H * N * M)), Math.floor(e / M) % N, e % M) * H + h
    })
    const mask = { shape: [B, H, N, M], data: index.map(e => table.data[e]) }
    const backward = {
      target: random(5, B, H, N, 3),
      entropy_weight: 0.5,
      grad_logsumexp: random(6, B, H, N),
    }
    const request = { ...inputs, ...options, precision, return: RETURN, backward }
    const biased = await attention(server, { ...request, relative_bias: { table, ...bias } })
    expect(biased.status, JSON.stringify(biased.body)).toBe(200)
    const masked = await attention(server, { ...request, mask })
    for (const name of RETURN) near(biased.body[name], flat(masked.body[name]), name)
    for (const name of ['q', 'k', 'v']) near(biased.body.grads[name], flat(masked.body.grads[name]), name)
    const gradTable = table.data.map(() => 0)
    for (const [e, g] of flat(masked.body.grads.mask).entries()) gradTable[index[e]] += g
    near(biased.body.grads.relative_bias.table, gradTable, 'table')
  })
})

describe('buckets', () => {
  it('are transformers’ own at their edges', async () => {
    // _relative_position_bucket of 0, 1, 7, 8, 11, 12, 16, 31, 32, 64, 90, 91, 128, 5000 keys before i
    const expected = [0, 1, 7, 8, 8, 9, 10, 11, 12, 14, 14, 15, 15, 15]
    const before = [0, 1, 7, 8, 11, 12, 16, 31, 32, 64, 90, 91, 128, 500]
    const table = { shape: [32, 1], data: Array.from({ length: 32 }, (_, bucket) => bucket) }
    const zeros = (rows: number) => ({ shape: [rows, 1], data: Array.from({ length: rows }, () => 0) })
    const body = {
      q: zeros(501),
      k: zeros(501),
      v: zeros(501),
      relative_bias: { table },
      return: ['masked_scores'],
    }
    const { body: answer } = await attention(server, body)
    expect(before.map(d => answer.masked_scores[500][500 - d])).toEqual(expected)
    expect(before.slice(1).map(d => answer.masked_scores[0][d])).toEqual(expected.slice(1).map(x => x + 16))
  })
})

describe('in layers, and what is wrong', () => {
  const x = random(1, 2, 5, 4)
  it('has its gradient in self- and multi-head attention', async () => {
    const common = { x, init: { seed: 1 }, backward: { target: random(2, 2, 5, 4) } }
    const relative_bias = { table: random(3, 8, 1) }
    const self = await post(server, '/v1/self-attention', { ...common, relative_bias })
    expect(flat(self.body.grads.relative_bias.table).length).toBe(8)
    const many = { ...common, heads: 2, relative_bias: { table: random(3, 8, 2) } }
    const multi = await post(server, '/v1/multi-head-attention', many)
    expect(flat(multi.body.grads.relative_bias.table).length).toBe(16)
  })

  const [q, k, v] = [random(1, 1, 2, 3, 2), random(2, 1, 2, 3, 2), random(3, 1, 2, 3, 2)]
  it.each([
    [{ relative_bias: { table: random(1, 8, 3) } }, '/relative_bias/table', /\[buckets, 2\]/],
    [{ relative_bias: { table: random(1, 3, 2) } }, '/relative_bias/table', /at least 4 buckets/],
    [
      { relative_bias: { table: random(1, 32, 2), max_distance: 8 } },
      '/relative_bias/max_distance',
      /more than 8/,
    ],
    [
      { relative_bias: { table: random(1, 8, 2) }, attention_kind: 'linear' },
      '/relative_bias',
      /attention_kind/,
    ],
    [
      { relative_bias: { table: random(1, 8, 2) }, attention_kind: 'lsh' },
      '/relative_bias',
      /attention_kind/,
    ],
  ])('%#', async (more, path, message) => {
    const { status, body } = await attention(server, { q, k, v, ...more })
    expect(status).toBe(400)
    expect(body.errors[0].path).toMatch(new RegExp(`^${path}`))
    expect(body.detail).toMatch(message)
  })

  it('plans it', async () => {
    const s = { shape: [1, 2, 3, 2] }
    const body = {
      q: s,
      k: s,
      v: s,
      relative_bias: { table: { shape: [8, 2] } },
      backward: { grad_output: s },
    }
    const plan = await post(server, '/v1/plan', { endpoint: '/v1/attention', body })
    expect(plan.body.shapes['grads.relative_bias.table'], JSON.stringify(plan.body)).toEqual([8, 2])
  })
})
