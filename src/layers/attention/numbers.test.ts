/**
 * Numbers at any scale, and bits that are a row's own, as a request sees them: through layouts, rope, past, masks, merged passes
 * and every kind of attention, in both precisions.
 */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { drawer, type Flat } from '../../../test/support/layer-cases.ts'
import { runProgram } from '../../../test/support/run-program.ts'

type Body = Record<string, unknown>
const PRECISIONS = ['float32', 'float64'] as const
const LEAST = -3.4028234663852886e38

async function attention(precision: string, body: Body) {
  return (await runProgram('/v1/attention', { precision, ...body })).tensors
}

describe.each(PRECISIONS)('in %s', precision => {
  it('a row of the least mask there is has equal weights, and the gradients that belong to them', async () => {
    const found = await attention(precision, {
      q: [[1]],
      k: [[0.5], [1], [2]],
      v: [[3], [6], [9]],
      scale: 1,
      mask: [[LEAST, LEAST, LEAST]],
      return: ['output', 'weights', 'logsumexp', 'entropy'],
      backward: { grad_output: [[1]], wrt: ['q', 'k', 'v', 'mask'] },
    })
    const near = (name: string, expected: number[]) => {
      expected.forEach((x, i) => {
        expect(found[name].data[i], `${name} ${i}`).toBeCloseTo(x, 6)
      })
    }
    near('weights', [1 / 3, 1 / 3, 1 / 3])
    near('output', [6])
    near('entropy', [Math.log(3)])
    near('grads.v', [1 / 3, 1 / 3, 1 / 3])
    // p·(dP − delta) = ⅓·(3 − 6), ⅓·(6 − 6), ⅓·(9 − 6)
    near('grads.mask', [-1, 0, 1])
    near('grads.k', [-1, 0, 1])
    near('grads.q', [1.5])
    expect(found.logsumexp.data[0]).toBeCloseTo(LEAST, -30)
  })

  it('q is scaled before its product, values are normalised before they are summed', async () => {
    const scaled = await attention(precision, {
      q: [[1e20]],
      k: [[1e20], [2e20]],
      v: [[1], [3]],
      scale: 1e-38,
      return: ['output', 'weights'],
      backward: { grad_output: [[1]] },
    })
    for (const { data } of Object.values(scaled)) expect(data.every(Number.isFinite)).toBe(true)
    expect(scaled.output.data[0]).toBeCloseTo(3, 6)
    const large = await attention(precision, {
      q: [[1]],
      k: Array.from({ length: 100 }, () => [1]),
      v: Array.from({ length: 100 }, () => [1e37]),
      backward: { grad_output: [[1]] },
    })
    expect(large.output.data[0] / 1e37).toBeCloseTo(1, 6)
    for (const name of ['q', 'k', 'v']) expect(large[`grads.${name}`].data.every(Number.isFinite)).toBe(true)
  })

  it('linear attention holds far below 0', async () => {
    for (const x of [-46, -53, -200]) {
      const found = await attention(precision, {
        q: [[x, x]],
        k: [
          [x, x],
          [x - 1, x + 1],
        ],
        v: [[1], [2]],
        attention_kind: 'linear',
        backward: { grad_output: [[1]] },
      })
      const second = (Math.E + 1 / Math.E) / (2 + Math.E + 1 / Math.E)
      expect(found.output.data[0]).toBeCloseTo(1 + second, 5)
      expect(found['grads.v'].data[1]).toBeCloseTo(second, 5)
      for (const { data } of Object.values(found)) expect(data.every(Number.isFinite)).toBe(true)
    }
  })

  it('passes are merged at any size of the scores', async () => {
    const draw = drawer(11)
    const [q, k, v] = [draw(1, 1, 20, 3), draw(1, 1, 20, 3), draw(1, 1, 20, 2)]
    const grown = (t: Flat, by: number) => ({ ...t, data: t.data.map((x, i) => (i % 3 === 0 ? by : x)) })
    for (const size of [1, 1e4, 1e16]) {
      const body = { q: grown(q, size), k: grown(k, size), v, scale: 1, return: ['output', 'weights'] }
      const backward = { grad_output: v }
      const kind = { kind: 'strided', stride: 20 + 20 + 1 }
      const [exact, merged] = [
        await attention(precision, { ...body, backward }),
        await attention(precision, { ...body, backward, attention_kind: kind }),
      ]
      for (const [name, { data }] of Object.entries(exact)) {
        const largest = Math.max(1e-3, ...data.map(Math.abs))
        const worst = Math.max(...data.map((x, i) => Math.abs(x - merged[name].data[i])))
        expect(worst / largest, `${name} at ${size}`).toBeLessThan(precision === 'float64' ? 1e-9 : 1e-5)
      }
      const three = { ...body, attention_kind: { kind: 'strided', stride: 3 } }
      const { weights, output } = await attention(precision, three)
      for (let i = 0; i < 20; i++) {
        const row = weights.data.slice(i * 20, (i + 1) * 20)
        expect(row.reduce((sum, x) => sum + x, 0)).toBeCloseTo(1, 5)
        const own = row.reduce((sum, x, j) => sum + x * v.data[2 * j], 0)
        expect(output.data[2 * i]).toBeCloseTo(own, 5)
      }
    }
  })

  const options = fc.record({
    softcap: fc.constantFrom(undefined, 2),
    alibi: fc.boolean(),
    rope: fc.constantFrom(undefined, { dims: 4 }),
    qk_norm: fc.constantFrom(undefined, 'l2' as const),
    window: fc.constantFrom(undefined, { left: 140, right: 0 }),
    attention_kind: fc.constantFrom('softmax', 'softmax', 'linear', { kind: 'local', window: 90 }),
  })
  const sizes = fc.record({
    keys: fc.integer({ min: 2, max: 260 }),
    rows: fc.integer({ min: 1, max: 60 }),
    heads: fc.constantFrom(1, 2),
    dimK: fc.constantFrom(4, 16, 20),
    seed: fc.nat(1000),
  })
  const names = ['output', 'weights', 'logsumexp', 'entropy']

  it('a row has the same bits in a chunk, alone, in a batch, with a past and with padding', async () => {
    await fc.assert(
      fc.asyncProperty(options, sizes, async (drawn, { keys, rows, heads, dimK, seed }) => {
        const linear = drawn.attention_kind === 'linear'
        const refused = linear ? ['softcap', 'alibi', 'window'] : []
        const settings = Object.fromEntries(Object.entries(drawn).filter(([name]) => !refused.includes(name)))
        const common = { ...settings, return: linear ? ['output'] : names }
        const draw = drawer(seed)
        const whole = {
          q: draw(1, heads, keys, dimK),
          k: draw(1, heads, keys, dimK),
          v: draw(1, heads, keys, 7),
        }
        const take = ({ shape, data }: Flat, from: number, to: number): Flat => {
          const [, , n, width] = shape
          const rows = Array.from({ length: heads }, (_, h) =>
            data.slice((h * n + from) * width, (h * n + to) * width),
          )
          return { shape: [1, heads, to - from, width], data: rows.flat() }
        }
        const all = await attention(precision, { ...whole, ...common, causal: true })
        /** Rows [from, to) of the first `end` keys, out of a result with other rows before them. */
        const rowsOf = (found: typeof all, n: number, from: number, to: number, end: number) =>
          Object.fromEntries(
            common.return.map(name => {
              const { shape, data } = found[name]
              const width = shape.length === 3 ? 1 : shape[3]
              const own = Array.from({ length: heads * (to - from) }, (_, r) => {
                const at = (Math.floor(r / (to - from)) * n + from + (r % (to - from))) * width
                return data.slice(at, at + (name === 'weights' ? end : width))
              })
              return [name, own]
            }),
          )
        const end = Math.max(1, keys - (seed % 7))
        const first = Math.max(0, end - rows)
        const expected = rowsOf(all, keys, first, end, end)
        const { q, k, v } = whole
        const rope = drawn.rope && { ...drawn.rope, q_offset: first }
        const chunk = { q: take(q, first, end), k: take(k, 0, end), v: take(v, 0, end) }
        const chunked = await attention(precision, { ...chunk, ...common, rope, causal: 'bottom_right' })
        expect(rowsOf(chunked, end - first, 0, end - first, end)).toEqual(expected)

        const padded = { q: take(q, 0, end), k, v, kv_lengths: [end] }
        const withPadding = await attention(precision, { ...padded, ...common, causal: true })
        expect(rowsOf(withPadding, end, first, end, end)).toEqual(expected)

        const twice = (t: Flat): Flat => {
          const other = draw(1, ...t.shape.slice(1))
          return { shape: [2, ...t.shape.slice(1)], data: [...t.data, ...other.data] }
        }
        const batch = { q: twice(q), k: twice(k), v: twice(v) }
        const inBatch = await attention(precision, { ...batch, ...common, causal: true })
        expect(rowsOf(inBatch, keys, first, end, end)).toEqual(expected)

        if (drawn.rope !== undefined || drawn.qk_norm !== undefined || first === 0) return
        const past = { past_k: take(k, 0, first), past_v: take(v, 0, first) }
        const fresh = { q: take(q, first, end), k: take(k, first, end), v: take(v, first, end) }
        const cached = await attention(precision, { ...past, ...fresh, ...common, causal: true })
        expect(rowsOf(cached, end - first, 0, end - first, end)).toEqual(expected)
      }),
      { numRuns: 40 },
    )
  })

  it('gradients have the same bits alone and in a batch', async () => {
    await fc.assert(
      fc.asyncProperty(options, sizes, fc.integer({ min: 2, max: 5 }), async (drawn, sizes, batch) => {
        const { keys, heads, dimK, seed } = sizes
        const linear = drawn.attention_kind === 'linear'
        const refused = linear ? ['softcap', 'alibi', 'window'] : []
        const settings = Object.fromEntries(Object.entries(drawn).filter(([name]) => !refused.includes(name)))
        const draw = drawer(seed)
        const own = {
          q: draw(1, heads, 30, dimK),
          k: draw(1, heads, 2 * keys, dimK),
          v: draw(1, heads, 2 * keys, 7),
        }
        const gradOutput = draw(1, heads, 30, 7)
        const many = (t: Flat): Flat => {
          const other = draw(batch - 1, ...t.shape.slice(1))
          return { shape: [batch, ...t.shape.slice(1)], data: [...other.data, ...t.data] }
        }
        const request = { ...settings, causal: 'bottom_right' }
        const alone = await attention(precision, {
          ...own,
          ...request,
          backward: { grad_output: gradOutput },
        })
        const [q, k, v] = [many(own.q), many(own.k), many(own.v)]
        const backward = { grad_output: many(gradOutput) }
        const together = await attention(precision, { q, k, v, ...request, backward })
        for (const name of ['grads.q', 'grads.k', 'grads.v']) {
          const { data } = alone[name]
          expect(together[name].data.slice(-data.length), name).toEqual(data)
        }
      }),
      { numRuns: 25 },
    )
  })
})
