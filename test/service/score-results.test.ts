/** softcapped_scores and max_score, against what the other maps say they are. */
import { describe, expect, it } from 'vitest'
import { normalNumbers } from '../support/numbers.ts'
import { type Answer, attention, post, startServer } from './server.ts'

const server = await startServer()

function random(seed: number, ...shape: number[]) {
  const next = normalNumbers(seed)
  const count = shape.reduce((product, extent) => product * extent, 1)
  return { shape, data: Array.from({ length: count }, next) }
}

const flat = (value: unknown): number[] => (Array.isArray(value) ? value.flatMap(flat) : [Number(value)])

function near(actual: unknown, expected: number[], digits: number): void {
  const got = flat(actual)
  expect(got.length).toBe(expected.length)
  for (const [at, value] of expected.entries()) {
    if (Number.isFinite(value)) expect(got[at]).toBeCloseTo(value, digits)
    else expect(got[at]).toBe(value)
  }
}

/** The largest of each of the `count` equal parts of a map. */
function largest(map: unknown, count: number): number[] {
  const values = flat(map)
  const each = values.length / count
  return Array.from({ length: count }, (_, c) => Math.max(...values.slice(c * each, (c + 1) * each)))
}

const RETURN = ['scores', 'softcapped_scores', 'masked_scores', 'max_score']
const q = random(1, 2, 4, 29, 5)
const k = random(2, 2, 2, 131, 5)
const v = random(3, 2, 2, 131, 3)

describe.each([
  ['float64', 12],
  ['float32', 4],
] as const)('in %s', (precision, digits) => {
  it.each([
    ['plain', {}],
    ['softcap', { softcap: 1.5 }],
    ['causal, softcap, alibi and lengths', { softcap: 3, causal: true, alibi: true, kv_lengths: [0, 70] }],
    [
      'a mask that leaves a head nothing',
      { mask: { shape: [4, 1, 1], data: [false, true, true, true] }, softcap: 2 },
    ],
    ['dropout', { dropout: { p: 0.5, seed: 3 } }],
    ['strided', { attention_kind: { kind: 'strided', stride: 4 }, softcap: 2, window: { left: 20 } }],
    ['lsh', { attention_kind: { kind: 'lsh', chunk: 8 }, causal: true }],
  ])('%s', async (_, options) => {
    const { status, body } = await attention(server, { q, k, v, precision, ...options, return: RETURN })
    expect(status, JSON.stringify(body)).toBe(200)
    const cap = 'softcap' in options ? options.softcap : 0
    const capped = flat(body.scores).map(s => (cap > 0 ? cap * Math.tanh(s / cap) : s))
    near(body.softcapped_scores, capped, digits)
    expect(body.max_score.length).toBe(2)
    near(body.max_score, largest(body.masked_scores, 8), 7)
  })

  it('each alone is the same as with the others', async () => {
    const options = { q, k, v, precision, softcap: 1.5, causal: 'bottom_right' }
    const whole = await attention(server, { ...options, return: RETURN })
    for (const name of RETURN) {
      const alone = await attention(server, { ...options, return: [name] })
      expect(alone.body).toEqual({ [name]: whole.body[name] })
    }
  })

  it('of q of rank 2 and 3, and of no rows at all', async () => {
    const single = {
      q: [[1, 2]],
      k: [
        [1, 0],
        [0, 3],
      ],
      v: [[1], [2]],
      scale: 1,
      precision,
    }
    const two = await attention(server, { ...single, return: ['max_score'] })
    expect(two.body).toEqual({ max_score: 6 })
    const batch = { ...single, q: [single.q], k: [single.k], v: [single.v] }
    const three = await attention(server, { ...batch, return: ['max_score'] })
    expect(three.body).toEqual({ max_score: [6] })
    const none = { q: { shape: [1, 2, 0, 2], data: [] }, k: { shape: [1, 2, 0, 2], data: [] } }
    const empty = await attention(server, { ...none, v: none.k, precision, return: ['max_score'] })
    expect(empty.body).toEqual({ max_score: [['-Infinity', '-Infinity']] })
  })

  it('tells of a NaN', async () => {
    const body = { q: [['NaN'], [1]], k: [[1]], v: [[1]], non_finite: 'propagate', precision }
    const { body: answer } = await attention(server, { ...body, return: ['max_score'] })
    expect(answer).toEqual({ max_score: 'NaN' })
  })
})

describe('in layers', () => {
  it('has them in every layer of a stack, and in self- and multi-head attention', async () => {
    const x = random(4, 2, 9, 8)
    const stack = { layers: 2, heads: 2, init: { seed: 1 } }
    const options = { softcap: 0.5, precision: 'float64', return: RETURN }
    const deep = await post(server, '/v1/transformer', { stack, x, ...options })
    expect(deep.status, JSON.stringify(deep.body)).toBe(200)
    const layers: Answer['body'][] = deep.body.layers
    expect(layers.length).toBe(2)
    for (const layer of layers) near(layer.max_score, largest(layer.masked_scores, 4), 12)
    const init = { seed: 1 }
    const self = await post(server, '/v1/self-attention', { x, init, ...options })
    near(self.body.max_score, largest(self.body.masked_scores, 2), 12)
    const multi = await post(server, '/v1/multi-head-attention', { x, init, heads: 4, ...options })
    near(multi.body.max_score, largest(multi.body.masked_scores, 8), 12)
  })

  it('plans them, and refuses them beside linear attention', async () => {
    const body = { q: { shape: [2, 4, 29, 5] }, k: { shape: [2, 2, 131, 5] }, v: { shape: [2, 2, 131, 3] } }
    const plan = await post(server, '/v1/plan', {
      endpoint: '/v1/attention',
      body: { ...body, softcap: 2, return: RETURN },
    })
    expect(plan.body.shapes).toMatchObject({ max_score: [2, 4], softcapped_scores: [2, 4, 29, 131] })
    for (const name of ['softcapped_scores', 'max_score']) {
      const { status, body } = await attention(server, {
        q,
        k,
        v,
        attention_kind: 'linear',
        return: [name],
      })
      expect(status).toBe(400)
      expect(body.errors[0]).toMatchObject({ path: '/return/0' })
    }
  })
})
