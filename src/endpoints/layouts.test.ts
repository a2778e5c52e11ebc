/** `layout: "bnhd"`: the same numbers, to the bit, in another order. */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Body, drawer, type Flat } from '../../test/support/layer-cases.ts'
import { runProgram } from '../../test/support/run-program.ts'
import { Problem } from '../problem.ts'

/** [a, b, c, d] as [a, c, b, d]. */
function swapped({ shape: [a, b, c, d], data }: Flat): Flat {
  const rows = Array.from({ length: a * b * c }, (_, row) => {
    const [first, second, third] = [Math.floor(row / (b * c)), Math.floor(row / b) % c, row % b]
    const at = (first * b + third) * c + second
    return data.slice(at * d, (at + 1) * d)
  })
  return { shape: [a, c, b, d], data: rows.flat() }
}

const positive = ({ shape, data }: Flat) => ({ shape, data: data.map(Math.abs) })

/** Tensors that stand in the request's layout; all others are the same in both. */
const IN_LAYOUT = ['q', 'k', 'v', 'past_k', 'past_v', 'output', 'present_k', 'present_v'].flatMap(name => [
  name,
  `grads.${name}`,
  `jvp.${name}`,
])

const OPTIONS: Record<string, (draw: ReturnType<typeof drawer>) => Body> = {
  plain: () => ({}),
  causal: () => ({ causal: 'bottom_right', alibi: true }),
  rope: () => ({ rope: { interleaved: true }, qk_norm: 'l2', window: { left: 2 } }),
  lengths: () => ({ q_lengths: [2, 3], kv_lengths: [4, 1] }),
  past: draw => ({ past_k: draw(2, 2, 3, 6), past_v: draw(2, 2, 3, 5), causal: true }),
  strided: () => ({ attention_kind: { kind: 'strided', stride: 2 } }),
  linear: () => ({ attention_kind: 'linear' }),
  'linear with a state': draw => ({
    attention_kind: 'linear',
    state: { sums: positive(draw(2, 2, 42)), k: draw(2, 2, 3, 6), v: draw(2, 2, 3, 5) },
    causal: 'bottom_right',
  }),
  'linear of relu with a state': draw => ({
    attention_kind: { kind: 'linear', feature: 'relu' },
    state: { s: draw(2, 2, 6, 5) },
  }),
  'gated delta': draw => ({
    q: draw(2, 4, 7, 6),
    attention_kind: { kind: 'gated_delta', gates: { decay: draw(2, 7, 12), beta: draw(2, 7, 2) } },
  }),
  dropout: () => ({ dropout: { p: 0.3, seed: 5 } }),
  'of no rows': () => ({ q: { shape: [2, 4, 0, 6], data: [] } }),
}

describe.each(['float32', 'float64'])('bnhd in %s', precision => {
  it.each(Object.entries(OPTIONS))('gives the bits of bhnd: %s', async (name, options) => {
    const draw = drawer(3)
    const [q, k, v] = [draw(2, 4, 5, 6), draw(2, 2, 7, 6), draw(2, 2, 7, 5)]
    const body: Body = { q, k, v, precision, ...options(draw) }
    const rows = (body.q as Flat).shape[2]
    const maps = /^(linear|gated)/.test(name) ? [] : ['weights', 'logsumexp']
    const state = body.state === undefined ? [] : ['state']
    body.return = ['output', ...maps, ...state, ...(name === 'past' ? ['present_k'] : [])]
    const pastToo = name === 'past' ? ['past_k', 'past_v'] : []
    const loss = name === 'lengths' ? { target: draw(2, 4, rows, 5) } : { grad_output: draw(2, 4, rows, 5) }
    body.backward = { ...loss, wrt: ['q', 'k', 'v', ...pastToo] }
    const moving = { q: draw(2, 4, rows, 6), k: draw(2, 2, 7, 6), v: draw(2, 2, 7, 5) }
    const hasTangents = body.attention_kind === undefined
    if (hasTangents) body.jvp = moving
    const expected = await runProgram('/v1/attention', body)

    const turned: Body = { ...body, layout: 'bnhd' }
    for (const field of ['q', 'k', 'v', 'past_k', 'past_v']) {
      if (body[field] !== undefined) turned[field] = swapped(body[field] as Flat)
    }
    if (hasTangents) turned.jvp = { q: swapped(moving.q), k: swapped(moving.k), v: swapped(moving.v) }
    const [given] = Object.entries(loss)
    turned.backward = { [given[0]]: swapped(given[1]), wrt: ['q', 'k', 'v', ...pastToo] }
    const found = await runProgram('/v1/attention', turned)
    expect(found.loss).toBe(expected.loss)
    expect(Object.keys(found.tensors)).toEqual(Object.keys(expected.tensors))
    for (const [field, tensor] of Object.entries(expected.tensors)) {
      expect(found.tensors[field], field).toEqual(IN_LAYOUT.includes(field) ? swapped(tensor) : tensor)
    }
  })

  it('whatever the sizes', async () => {
    const sizes = fc.tuple(...[2, 3, 30, 40, 9, 9].map(max => fc.integer({ min: 1, max })))
    await fc.assert(
      fc.asyncProperty(sizes, fc.nat(), async ([b, h, n, m, dk, dv], seed) => {
        const draw = drawer(seed)
        const body = { q: draw(b, 2 * h, n, dk), k: draw(b, h, m, dk), v: draw(b, h, m, dv), precision }
        const { output } = (await runProgram('/v1/attention', body)).tensors
        const turned = {
          q: swapped(body.q),
          k: swapped(body.k),
          v: swapped(body.v),
          precision,
          layout: 'bnhd',
        }
        expect((await runProgram('/v1/attention', turned)).tensors.output).toEqual(swapped(output))
      }),
      { numRuns: 15 },
    )
  })
})

describe('what may not stand beside a layout', () => {
  it.each<[string, Body, string[]]>([
    ['rank 3', { q: [[[1]]], k: [[[1]]], v: [[[1]]], layout: 'bnhd' }, ['/layout', '/q']],
    ['rank 2', { q: [[1]], k: [[1]], v: [[1]], layout: 'bhnd' }, ['/layout', '/q']],
  ])('%s', async (_name, body, paths) => {
    const error = await runProgram('/v1/attention', body).catch(error => error)
    expect(error).toBeInstanceOf(Problem)
    expect(error.code).toBe('INVALID_REQUEST')
    expect(error.errors.map(({ path }: { path: string }) => path)).toEqual(paths)
  })

  it('and shapes are told in the layout’s order', async () => {
    const ones = (...shape: number[]) => ({ shape, data: new Array(shape.reduce((a, b) => a * b)).fill(1) })
    const error = (body: Body) =>
      runProgram('/v1/attention', { layout: 'bnhd', q: ones(1, 2, 3, 4), ...body }).catch(e => e.message)
    expect(await error({ k: ones(1, 2, 3, 5), v: ones(1, 2, 3, 4) })).toBe(
      '/k/shape: expected [1, M, H_kv, 4], got [1, 2, 3, 5]',
    )
    expect(await error({ k: ones(1, 2, 3, 4), v: ones(1, 1, 3, 4) })).toBe(
      '/v/shape: expected [1, 2, 3, d_v], got [1, 1, 3, 4]',
    )
    const past = { past_k: ones(1, 2, 2, 4), past_v: ones(1, 2, 3, 4) }
    expect(await error({ k: ones(1, 2, 3, 4), v: ones(1, 2, 3, 4), ...past })).toBe(
      '/past_k/shape: expected [1, 2, 3, 4], got [1, 2, 2, 4]',
    )
  })
})
