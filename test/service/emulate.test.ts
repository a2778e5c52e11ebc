/** `emulate` and `error_budget`: beside a plain evaluation of the same roundings, in JavaScript's own types. */
import { describe, expect, it } from 'vitest'
import { draw, type Flat } from './compare/tensors.ts'
import { attention, post, startServer } from './server.ts'

const server = await startServer()

const [n, m, d] = [5, 7, 4]
const q = draw(1, 1, 2, n, d)
const k = draw(2, 1, 2, m, d)
const v = draw(3, 1, 2, m, d)

const half = (x: number) => Math.f16round(x)
const single = Math.fround
const exact = (x: number) => x
type Round = (x: number) => number

interface Rounds {
  inputs: Round
  scores: Round
  weights: Round
  sums: Round
  output: Round
}

/** Of one head after the other; weights and output. */
function plain({ inputs, scores, weights, sums, output }: Rounds) {
  const [rq, rk, rv] = [q, k, v].map(({ data }) => data.map(inputs))
  const maps: number[] = []
  const results: number[] = []
  for (let h = 0; h < 2; h++) {
    for (let i = 0; i < n; i++) {
      const row = Array.from({ length: m }, (_, j) => {
        let sum = 0
        for (let x = 0; x < d; x++) sum = sums(sum + rq[(h * n + i) * d + x] * rk[(h * m + j) * d + x])
        return scores(sum * 0.5)
      })
      const max = Math.max(...row)
      const total = row.reduce((sum, s) => sum + Math.exp(s - max), 0)
      const p = row.map(s => weights(Math.exp(s - max) / total))
      maps.push(...p)
      for (let x = 0; x < d; x++) {
        results.push(output(p.reduce((sum, w, j) => sums(sum + w * rv[(h * m + j) * d + x]), 0)))
      }
    }
  }
  return { maps, results }
}

const ask = (emulate: object, more: object = {}) =>
  attention(server, { q, k, v, encoding: 'flat', precision: 'float64', emulate, ...more })

describe('emulate', () => {
  it('rounds what each stage stores', async () => {
    const expected = plain({ inputs: half, scores: half, weights: half, sums: single, output: half })
    const stages = { inputs: 'float16', scores: 'float16', weights: 'float16', output: 'float16' }
    const { status, body } = await ask(stages, { return: ['output', 'weights'] })
    expect([status, body.detail]).toEqual([200, undefined])
    expect(body.output.data).toEqual(expected.results)
    expect(body.weights.data).toEqual(expected.maps)
  })

  it('accumulates both products in float16', async () => {
    const rounds = { inputs: half, scores: single, weights: single, output: single }
    const { body } = await ask({ inputs: 'float16', accumulate: 'float16' })
    expect(body.output.data).toEqual(plain({ ...rounds, sums: half }).results)
    expect(body.output.data).not.toEqual(plain({ ...rounds, sums: single }).results)
  })

  it('is float32 where it says nothing, in either precision of the answer', async () => {
    const all = plain({ inputs: single, scores: single, weights: single, sums: single, output: single })
    const { body } = await ask({})
    expect(body.output.data).toEqual(all.results)
    const answered = await ask({}, { precision: 'float32' })
    expect(answered.body.output.dtype ?? 'float32').toBe('float32')
    expect(answered.body.output.data.map(single)).toEqual(all.results)
  })

  it('gives float8’s numbers, masked keys none', async () => {
    const { body } = await ask(
      { inputs: 'float8_e4m3', weights: 'float8_e5m2', output: 'bfloat16' },
      { causal: true, return: ['weights', 'output'], softcap: 5, dropout: { p: 0.25, seed: 3 }, alibi: true },
    )
    const weights: number[] = body.weights.data
    // two bits of fraction
    const isOfType = (x: number) => x === 0 || Number.isInteger((x / 2 ** Math.floor(Math.log2(x))) * 4)
    expect(weights.every(isOfType)).toBe(true)
    expect(weights.slice(1, m).every(x => x === 0)).toBe(true)
    expect(weights[0]).toBe(1)
  })

  it('takes other layouts, lengths, a past and heads in groups as any request', async () => {
    const swap = ({ data }: Flat, rows: number) => ({
      shape: [1, rows, 2, d],
      data: Array.from({ length: rows * 2 * d }, (_, at) => {
        const [i, h, x] = [Math.floor(at / (2 * d)), Math.floor(at / d) % 2, at % d]
        return data[(h * rows + i) * d + x]
      }),
    })
    const stages = { inputs: 'bfloat16', scores: 'bfloat16', weights: 'bfloat16', output: 'bfloat16' }
    const one = await ask(stages)
    const turned = await ask(stages, { q: swap(q, n), k: swap(k, m), v: swap(v, m), layout: 'bnhd' })
    expect(turned.body.output).toMatchObject(swap(one.body.output, n))
  })

  it('over safetensors’ options and in plans', async () => {
    const shape = { shape: [1, 2, 16, 8] }
    const { status, body } = await post(server, '/v1/plan', {
      endpoint: '/v1/attention',
      body: {
        q: shape,
        k: shape,
        v: shape,
        emulate: { scores: 'bfloat16' },
        return: ['output', 'error_budget'],
      },
    })
    expect(status).toBe(200)
    expect(body).toMatchObject({ admitted: true, shapes: { output: [1, 2, 16, 8] } })
  })
})

describe('error_budget', () => {
  it('is what each stage costs by itself', async () => {
    const stages = {
      inputs: 'float16',
      scores: 'float8_e5m2',
      weights: 'bfloat16',
      accumulate: 'float16',
      output: 'bfloat16',
    }
    const { body } = await ask(stages, { return: ['error_budget'] })
    expect(Object.keys(body)).toEqual(['error_budget'])
    expect(Object.keys(body.error_budget)).toEqual(['inputs', 'scores', 'weights', 'accumulate', 'output'])
    const none = { inputs: exact, scores: exact, weights: exact, sums: exact, output: exact }
    const truth = plain(none).results
    const alone: Record<string, Rounds> = {
      inputs: { ...none, inputs: half },
      accumulate: { ...none, sums: half },
    }
    for (const [stage, rounds] of Object.entries(alone)) {
      const { results } = plain(rounds)
      const errors = results.map((x, at) => Math.abs(x - truth[at]))
      const rmse = Math.sqrt(errors.reduce((sum, e) => sum + e * e, 0) / errors.length)
      expect(body.error_budget[stage].max_abs).toBeCloseTo(Math.max(...errors), 12)
      expect(body.error_budget[stage].rmse).toBeCloseTo(rmse, 12)
    }
    expect(body.error_budget.scores.max_abs).toBeGreaterThan(body.error_budget.weights.max_abs)
  })

  it('does not change what else is answered', async () => {
    const stages = { inputs: 'float16', scores: 'float16' }
    const [with_, without] = await Promise.all([
      ask(stages, { return: ['output', 'weights', 'error_budget'] }),
      ask(stages, { return: ['output', 'weights'] }),
    ])
    const { error_budget: _, ...rest } = with_.body
    expect(rest).toEqual(without.body)
  })
})

describe('what cannot be emulated', () => {
  const gradOutput = draw(4, 1, 2, n, d)
  it.each([
    ['backward', { backward: { grad_output: gradOutput } }, ['/emulate', '/backward']],
    ['sinks', { sinks: [0, 0] }, ['/emulate', '/sinks']],
    ['another kind', { attention_kind: 'linear' }, ['/emulate', '/attention_kind']],
    ['tangents', { jvp: { q } }, ['/emulate', '/jvp']],
  ])('beside %s: a 400 that names both', async (_, more, paths) => {
    const { status, body } = await ask({ inputs: 'float16' }, more)
    expect([status, body.errors.map(({ path }: { path: string }) => path)]).toEqual([400, paths])
  })

  it.each([
    [{ inputs: 'float64' }, '/emulate/inputs', 'float8_e5m2'],
    [{ scores: 'half' }, '/emulate/scores', '"float8_e4m3"'],
    [{ accumulate: 'bfloat16' }, '/emulate/accumulate', 'expected one of "float32", "float16"'],
    [{ exp: 'float16' }, '/emulate/exp', 'no such field'],
  ])('%o: a 400 that lists what is known', async (emulate, path, text) => {
    const { status, body } = await ask(emulate)
    expect([status, body.errors[0].path]).toEqual([400, path])
    expect(body.errors[0].message).toContain(text)
  })

  it('layers, budgets without emulation, comparisons', async () => {
    const layer = await post(server, '/v1/self-attention', { x: [[1]], init: {}, emulate: {} })
    expect([layer.status, layer.body.errors[0].path]).toEqual([400, '/emulate'])
    const budget = await attention(server, { q, k, v, return: ['error_budget'] })
    expect([budget.status, budget.body.errors.map(({ path }: { path: string }) => path)]).toEqual([
      400,
      ['/return/0', '/emulate'],
    ])
    const compared = await post(server, '/v1/compare', {
      endpoint: '/v1/attention',
      body: { q, k, v, emulate: {} },
      candidate: { output: draw(5, 1, 2, n, d) },
    })
    expect([compared.status, compared.body.errors[0].path]).toEqual([400, '/body/emulate'])
  })
})
