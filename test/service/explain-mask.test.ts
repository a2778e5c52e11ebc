/** `POST /v1/explain-mask` against every rule asked of every pair, and against the weights that the same body gives. */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { post, startServer } from './server.ts'

const server = await startServer()
const explain = (body: unknown) => post(server, '/v1/explain-mask', body)

const shape = (...extents: number[]) => ({ shape: extents })
const sizes = (n: number, m = n) => ({ q: shape(n, 2), k: shape(m, 2), v: shape(m, 2) })

interface Spec {
  batch: number
  heads: number
  queries: number
  keys: number
  causal: false | true | 'bottom_right'
  window: { left?: number; right?: number; align?: 'top_left' | 'bottom_right' } | undefined
  lengths: boolean
  kv: number[]
  q: number[]
  prefix: number[] | undefined
  mask: 'none' | 'bool' | 'float' | 'columns' | 'heads'
  segments: boolean
  block: number | undefined
  seed: number
}

const specs: fc.Arbitrary<Spec> = fc
  .record({
    batch: fc.integer({ min: 1, max: 2 }),
    heads: fc.integer({ min: 1, max: 2 }),
    queries: fc.integer({ min: 1, max: 9 }),
    keys: fc.integer({ min: 1, max: 9 }),
    causal: fc.constantFrom(false as const, true as const, 'bottom_right' as const),
    window: fc.option(
      fc.record(
        {
          left: fc.nat(4),
          right: fc.nat(4),
          align: fc.constantFrom('top_left' as const, 'bottom_right' as const),
        },
        { requiredKeys: [] },
      ),
      { nil: undefined },
    ),
    lengths: fc.boolean(),
    kv: fc.array(fc.nat(9), { minLength: 2, maxLength: 2 }),
    q: fc.array(fc.nat(9), { minLength: 2, maxLength: 2 }),
    prefix: fc.option(fc.array(fc.nat(9), { minLength: 2, maxLength: 2 }), { nil: undefined }),
    mask: fc.constantFrom(
      'none' as const,
      'bool' as const,
      'float' as const,
      'columns' as const,
      'heads' as const,
    ),
    segments: fc.boolean(),
    block: fc.option(fc.integer({ min: 1, max: 4 }), { nil: undefined }),
    seed: fc.nat(),
  })
  .map(spec => ({
    ...spec,
    kv: spec.kv.slice(0, spec.batch).map(length => Math.min(length, spec.keys)),
    q: spec.q.slice(0, spec.batch).map(length => Math.min(length, spec.queries)),
    prefix: spec.causal
      ? spec.prefix?.slice(0, spec.batch).map(length => Math.min(length, spec.keys))
      : undefined,
  }))

/** Numbers that look random, the same for the same indices. */
function drawn(seed: number, ...at: number[]): number {
  return (
    Math.abs(Math.sin(at.reduce((sum, index, axis) => sum + index * (axis + 1.37), seed % 997)) * 1e4) % 1
  )
}

const list = (count: number, item: (index: number) => unknown) =>
  Array.from({ length: count }, (_, at) => item(at))

function isOpen({ mask, seed, heads }: Spec, b: number, h: number, i: number, j: number): boolean {
  if (mask === 'columns') return drawn(seed, 0, 0, 0, j) < 0.7
  return drawn(seed, b, mask === 'heads' ? h % heads : 0, i, j) < 0.7
}

function maskOf(spec: Spec): unknown {
  const { batch, heads, queries, keys, mask } = spec
  if (mask === 'none') return undefined
  const element = (b: number, h: number, i: number, j: number) => {
    const open = isOpen(spec, b, h, i, j)
    return mask === 'float' ? (open ? 0.5 : '-Infinity') : open
  }
  if (mask === 'columns') return list(keys, j => element(0, 0, 0, j))
  const of = mask === 'heads' ? heads : 1
  return list(batch, b => list(of, h => list(queries, i => list(keys, j => element(b, h, i, j)))))
}

const idOf = ({ seed }: Spec, b: number, at: number, side: number) =>
  Math.floor(drawn(seed, b, at, side) * 3) - 0.5 < -0.2 ? -1 : Math.floor(drawn(seed, b, at, side) * 3)

function bodyOf(spec: Spec) {
  const { batch, heads, queries, keys } = spec
  return {
    q: shape(batch, heads, queries, 2),
    k: shape(batch, heads, keys, 2),
    v: shape(batch, heads, keys, 2),
    causal: spec.causal,
    window: spec.window,
    ...(spec.lengths && { kv_lengths: spec.kv, q_lengths: spec.q }),
    prefix_lengths: spec.prefix,
    mask: maskOf(spec),
    ...(spec.segments && {
      segments: {
        q: list(batch, b => list(queries, i => idOf(spec, b, i, 0))),
        kv: list(batch, b => list(keys, j => idOf(spec, b, j, 1))),
      },
    }),
    ...(spec.block !== undefined && { attention_kind: { kind: 'block', size: spec.block } }),
  }
}

/** The rules that forbid a pair. */
function forbiddenBy(spec: Spec, b: number, h: number, i: number, j: number): string[] {
  const [n, m] = spec.lengths ? [spec.q[b], spec.kv[b]] : [spec.queries, spec.keys]
  const bottom = i + m - n
  const at = spec.causal === 'bottom_right' ? bottom : i
  const found: string[] = []
  if (spec.causal && j > at && j >= (spec.prefix?.[b] ?? 0)) found.push('causal')
  if (spec.window) {
    const { left, right, align } = spec.window
    const place = align === undefined ? at : align === 'top_left' ? i : bottom
    if ((left !== undefined && j < place - left) || (right !== undefined && j > place + right))
      found.push('window')
  }
  if (spec.lengths && i >= n) found.push('q_lengths')
  if (spec.lengths && j >= m) found.push('kv_lengths')
  if (spec.block && Math.floor(at / spec.block) !== Math.floor(j / spec.block)) found.push('attention_kind')
  if (spec.mask !== 'none' && !isOpen(spec, b, h, i, j)) found.push('mask')
  if (spec.segments && (idOf(spec, b, i, 0) < 0 || idOf(spec, b, i, 0) !== idOf(spec, b, j, 1)))
    found.push('segments')
  return found.sort()
}

it('counts, rows, map and legend are what every rule says of every pair', async () => {
  await fc.assert(
    fc.asyncProperty(specs, async spec => {
      const { batch, heads, queries, keys, seed } = spec
      const row = [seed % batch, seed % heads, seed % queries]
      const { status, body } = await explain({ body: bodyOf(spec), row, map: true })
      expect([status, body]).toEqual([200, expect.anything()])
      const counts: Record<string, { forbids: number; alone: number; with_others: number }> = {}
      for (const name of Object.keys(body.legend)) counts[name] = { forbids: 0, alone: 0, with_others: 0 }
      let pairs = 0
      const empty: number[][] = []
      for (let b = 0; b < batch; b++) {
        for (let h = 0; h < heads; h++) {
          for (let i = 0; i < queries; i++) {
            let attended = 0
            for (let j = 0; j < keys; j++) {
              const rules = forbiddenBy(spec, b, h, i, j)
              if (rules.length === 0) attended++
              for (const name of rules) {
                counts[name].forbids++
                counts[name][rules.length === 1 ? 'alone' : 'with_others']++
              }
              const bits = body.map[b][h][i][j]
              expect(
                Object.keys(body.legend)
                  .filter(name => (bits & body.legend[name]) !== 0)
                  .sort(),
              ).toEqual(rules)
            }
            pairs += attended
            if (attended === 0) empty.push([b, h, i])
          }
        }
      }
      expect(body).toMatchObject({ pairs, empty_rows: empty, empty_row_count: empty.length, rules: counts })
      expect(body.density).toBeCloseTo(pairs / (batch * heads * queries * keys), 12)
      const [b, h, i] = row
      expect(body.row.map((rules: string[]) => rules.toSorted())).toEqual(
        list(keys, j => forbiddenBy(spec, b, h, i, j)),
      )
    }),
    { numRuns: 60 },
  )
})

describe('bodies', () => {
  it('with elements are explained like those of shapes, and give the weights that are told', async () => {
    const q = [
      [1, 0],
      [0, 1],
      [1, 1],
    ]
    const body = { q, k: q, v: q, causal: true, mask: [true, false, true] }
    const { body: told } = await explain({ body, map: true })
    const { body: answer } = await post(server, '/v1/attention', { ...body, return: ['weights'] })
    expect(told.map.map((row: number[]) => row.map(bits => bits === 0))).toEqual(
      answer.weights.map((row: number[]) => row.map(weight => weight > 0)),
    )
    expect(told).toMatchObject({ pairs: 4, legend: { causal: 1, mask: 2 } })
  })

  it('of packed sequences attend within each', async () => {
    const packed = { q: shape(5, 1, 2), k: shape(6, 1, 2), v: shape(6, 1, 2) }
    const body = { ...packed, cu_seqlens_q: [0, 2, 5], cu_seqlens_k: [0, 4, 6], causal: 'bottom_right' }
    const { body: told } = await explain({ body, map: true, row: [0, 0, 2] })
    expect(told.map).toEqual([
      [
        [0, 0, 0, 1, 2, 2],
        [0, 0, 0, 0, 2, 2],
        [2, 2, 2, 2, 1, 1],
        [2, 2, 2, 2, 0, 1],
        [2, 2, 2, 2, 0, 0],
      ],
    ])
    expect(told).toMatchObject({
      pairs: 10,
      empty_rows: [[0, 0, 2]],
      rules: { causal: { forbids: 4, alone: 4 }, cu_seqlens: { forbids: 16, alone: 16 } },
      equivalents: {
        'flash-attn': { call: expect.stringContaining('flash_attn_varlen_func(q, k, v, cu_seqlens_q') },
      },
      row: [['cu_seqlens'], ['cu_seqlens'], ['cu_seqlens'], ['cu_seqlens'], ['causal'], ['causal']],
    })
  })

  it('of packed sequences that count from the top left have no call of flash-attn', async () => {
    const packed = { q: shape(5, 1, 2), k: shape(6, 1, 2), v: shape(6, 1, 2), causal: true }
    const apart = await explain({ body: { ...packed, cu_seqlens_q: [0, 2, 5], cu_seqlens_k: [0, 4, 6] } })
    expect(apart.body.equivalents['flash-attn']).toEqual({ cannot: 'it counts from the bottom right corner' })
    const alike = await explain({ body: { ...packed, q: shape(6, 1, 2), cu_seqlens_q: [0, 2, 6] } })
    expect(alike.body.equivalents['flash-attn'].call).toContain('causal=True')
  })

  it('of layers count the positions of x, the context and the past', async () => {
    const weights = { w_q: shape(4, 4), w_k: shape(4, 4), w_v: shape(4, 4), w_o: shape(4, 4) }
    const multiHead = { x: shape(1, 3, 4), context: shape(1, 5, 4), heads: 2, params: weights }
    const over = await explain({ endpoint: '/v1/multi-head-attention', body: multiHead, map: true })
    expect(over.body).toMatchObject({ pairs: 30, density: 1, rules: {} })
    const past = { past_k: shape(4, 2), past_v: shape(4, 2) }
    const decoding = await explain({ body: { ...sizes(2), ...past, causal: true } })
    expect(decoding.body).toMatchObject({ pairs: 11, rules: { causal: { forbids: 1 } } })
  })

  it('whose mask is only a shape say that nothing is known of it', async () => {
    const body = { ...sizes(3), mask: shape(3, 3), kv_lengths: shape(1), causal: true }
    const { body: told } = await explain({ body })
    expect(told).toMatchObject({ pairs: 6, unknown: ['kv_lengths', 'mask'] })
  })

  it('may be long: intervals are counted, not pairs', async () => {
    const long = { ...sizes(8192), causal: true, window: { left: 99 } }
    const { body: told } = await explain({ body: long })
    expect(told).toMatchObject({ pairs: 8192 * 100 - 4950, rules: { causal: { alone: 8192 * 4095.5 } } })
  })
})

describe('what is wrong', () => {
  it.each([
    [{ body: sizes(3), row: [0, 0, 3] }, '/row', 'below [1, 1, 3], got [0, 0, 3]'],
    [{ body: sizes(3), row: [0, 3] }, '/row', 'three non-negative integers'],
    [{ body: { ...sizes(3), q: shape(3, 5) } }, '/body/k/shape', '[M, 5]'],
    [{ body: { ...sizes(3), kv_lengths: [4] } }, '/body/kv_lengths/0', 'from 0 to 3, got 4'],
    [{ body: { ...sizes(3), attention_kind: 'lsh' } }, '/body/attention_kind', '"lsh"'],
    [{ body: { ...sizes(3), wrong: 1 } }, '/body/wrong', 'no such field'],
    [{ body: sizes(3), endpoint: '/v1/transformer' }, '/endpoint', '/v1/multi-head-attention'],
  ])('%j', async (request, path, message) => {
    const { status, body } = await explain(request)
    expect([status, body.errors?.[0]]).toEqual([400, { path, message: expect.stringContaining(message) }])
  })
})
