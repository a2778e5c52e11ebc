/** Every attention_kind against its definition as a mask for exact attention, and all gradients by central differences. */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Body, drawer, expectGradients, type Flat } from '../../../../test/support/layer-cases.ts'
import { runProgram } from '../../../../test/support/run-program.ts'
import { mix } from '../../../../workers/ops/dropout.ts'

const PATH = '/v1/attention'
const maybe = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined })

interface Sizes {
  batch: number
  kvHeads: number
  group: number
  n: number
  m: number
  d: number
  dv: number
}

interface Rules {
  causal: boolean | string
  window?: { left: number; right: number } | undefined
  lengths: boolean
}

const sizes = fc.record({
  batch: fc.integer({ min: 1, max: 2 }),
  kvHeads: fc.integer({ min: 1, max: 2 }),
  group: fc.integer({ min: 1, max: 2 }),
  n: fc.constantFrom(1, 5, 17, 40),
  m: fc.constantFrom(1, 7, 23, 50),
  d: fc.constantFrom(1, 4, 7),
  dv: fc.constantFrom(1, 3, 8),
})
const rules = fc.record({
  causal: fc.constantFrom<boolean | string>(false, true, 'bottom_right'),
  window: maybe(fc.record({ left: fc.nat(20), right: fc.nat(20) })),
  lengths: fc.boolean(),
})
const seed = fc.integer({ min: 1, max: 2 ** 31 })

const sparse = fc.oneof(
  fc.record({ kind: fc.constant('local' as const), window: fc.nat(9) }),
  fc.record({ kind: fc.constant('strided' as const), stride: fc.integer({ min: 1, max: 9 }) }),
  fc.record({
    kind: fc.constant('block' as const),
    size: fc.integer({ min: 1, max: 9 }),
    previous: fc.boolean(),
  }),
)
const lsh = fc.record({
  kind: fc.constant('lsh' as const),
  rounds: fc.integer({ min: 1, max: 3 }),
  buckets: fc.constantFrom(1, 2, 4, 6, 72),
  chunk: fc.constantFrom(1, 3, 8, 64),
  seed: fc.nat(2 ** 40),
})
type Sparse = typeof sparse extends fc.Arbitrary<infer T> ? T : never
type Lsh = typeof lsh extends fc.Arbitrary<infer T> ? T : never

function tensors({ batch, kvHeads, group, n, m, d, dv }: Sizes, from: number) {
  const draw = drawer(from)
  return {
    q: draw(batch, kvHeads * group, n, d),
    k: draw(batch, kvHeads, m, d),
    v: draw(batch, kvHeads, m, dv),
    backward: { grad_output: draw(batch, kvHeads * group, n, dv) },
  }
}

function fieldsOf({ causal, window, lengths }: Rules, { batch, n, m }: Sizes): Body {
  const lengthsOf = (most: number) => Array.from({ length: batch }, (_, b) => Math.max(0, most - 2 * b - 1))
  return {
    precision: 'float64',
    causal,
    window,
    ...(lengths && { q_lengths: lengthsOf(n), kv_lengths: lengthsOf(m) }),
  }
}

/** How far query i of batch b stands from the keys. */
function shiftOf(body: Body, { n, m }: Sizes, b: number): number {
  if (body.causal !== 'bottom_right') return 0
  const queries = (body.q_lengths as number[] | undefined)?.[b] ?? n
  return ((body.kv_lengths as number[] | undefined)?.[b] ?? m) - queries
}

/** Whether a pattern has key j for a query that stands at `at`. */
function inPattern(kind: Sparse, at: number, j: number): boolean {
  switch (kind.kind) {
    case 'local':
      return Math.abs(at - j) <= kind.window
    case 'strided':
      return Math.abs(at - j) < kind.stride || (at - j) % kind.stride === 0
    case 'block': {
      const apart = Math.floor(at / kind.size) - Math.floor(j / kind.size)
      return apart === 0 || (kind.previous && apart === 1)
    }
  }
}

type Allowed = (b: number, h: number, i: number, j: number) => boolean

function asMask({ batch, kvHeads, group, n, m }: Sizes, allowed: Allowed): boolean[][][][] {
  const list = <T>(length: number, each: (index: number) => T) => Array.from({ length }, (_, i) => each(i))
  return list(batch, b => list(kvHeads * group, h => list(n, i => list(m, j => allowed(b, h, i, j)))))
}

const NAMES = ['output', 'weights', 'logsumexp', 'entropy', 'grads.q', 'grads.k', 'grads.v'] as const

/** The approximation, and exact attention with the pattern as its mask, in float64. */
async function expectMasked(body: Body, kind: unknown, mask: boolean[][][][]): Promise<void> {
  const request: Body = { ...body, return: ['output', 'weights', 'logsumexp', 'entropy'] }
  const { backward } = body as { backward: Body }
  const withEntropy: Body = { ...request, backward: { ...backward, entropy_weight: 0.3 } }
  const found = await runProgram(PATH, { ...withEntropy, attention_kind: kind })
  const exact = await runProgram(PATH, { ...withEntropy, mask })
  for (const name of NAMES) {
    const [got, right] = [found.tensors[name].data, exact.tensors[name].data]
    const worst = right.reduce((most, value, index) => {
      if (Object.is(value, got[index])) return most
      return Math.max(most, Math.abs(value - got[index]) / (1 + Math.abs(value)))
    }, 0)
    expect(worst, name).toBeLessThan(1e-11)
  }
}

describe('sparse patterns', () => {
  it('are exact attention to the pairs of their definition', async () => {
    await fc.assert(
      fc.asyncProperty(sparse, sizes, rules, seed, async (kind, s, r, from) => {
        const body: Body = { ...fieldsOf(r, s), ...tensors(s, from) }
        const mask = asMask(s, (b, _, i, j) => inPattern(kind, i + shiftOf(body, s, b), j))
        await expectMasked(body, kind, mask)
      }),
      { numRuns: 120 },
    )
  })

  it('stand at the end of a past', async () => {
    const s = { batch: 1, kvHeads: 1, group: 1, n: 4, m: 11, d: 3, dv: 3 }
    const { q, k, v } = tensors(s, 5)
    const split = ({ shape: [b, h, m, d], data }: Flat) => [
      { shape: [b, h, 7, d], data: data.slice(0, 7 * d) },
      { shape: [b, h, m - 7, d], data: data.slice(7 * d) },
    ]
    const [[past_k, newK], [past_v, newV]] = [split(k), split(v)]
    for (const kind of [
      { kind: 'local', window: 2 },
      { kind: 'strided', stride: 3 },
      { kind: 'block', size: 4, previous: false },
    ] as Sparse[]) {
      const body = { q, k: newK, v: newV, past_k, past_v, causal: true, precision: 'float64' }
      const found = await runProgram(PATH, { ...body, attention_kind: kind })
      const mask = asMask(s, (_b, _h, i, j) => inPattern(kind, i + 7, j))
      const exact = await runProgram(PATH, { ...body, mask })
      for (const [index, value] of exact.tensors.output.data.entries()) {
        expect(found.tensors.output.data[index]).toBeCloseTo(value, 11)
      }
    }
  })

  it('take masks, slopes and dropout where they are intervals', async () => {
    const s = { batch: 1, kvHeads: 1, group: 2, n: 9, m: 9, d: 3, dv: 3 }
    const draw = drawer(8)
    const body = { ...tensors(s, 3), alibi: true, dropout: { p: 0.3, seed: 4 }, precision: 'float64' }
    for (const kind of [
      { kind: 'local', window: 3 },
      { kind: 'block', size: 4 },
    ] as Sparse[]) {
      const float = draw(9, 9)
      const both = Array.from({ length: 9 }, (_, i) =>
        Array.from({ length: 9 }, (_, j) => (inPattern(kind, i, j) ? float.data[9 * i + j] : '-Infinity')),
      )
      const found = await runProgram(PATH, { ...body, mask: float, attention_kind: kind })
      const exact = await runProgram(PATH, { ...body, mask: both })
      for (const name of ['output', 'grads.q', 'grads.mask']) {
        for (const [index, value] of exact.tensors[name].data.entries()) {
          expect(found.tensors[name].data[index], name).toBeCloseTo(value, 11)
        }
      }
    }
  })
})

/** One round of LSH by its definition: the bucket of a vector. */
function bucketOf(x: number[], round: number, kind: Lsh): number {
  const factors = kind.buckets === 72 ? [6, 12] : [kind.buckets]
  const [low, high] = [kind.seed % 2 ** 32, Math.floor(kind.seed / 2 ** 32)]
  let column = 0
  let bucket = 0
  for (const factor of factors) {
    const products = Array.from({ length: factor / 2 }, () => {
      const key = mix((mix(round ^ mix(low)) + mix(high ^ column++)) >>> 0)
      return x.reduce((sum, value, d) => {
        const uniforms = [0, 1, 2, 3].map(n => mix((mix((4 * d + n) ^ key) + key) >>> 0) / 2 ** 32)
        return sum + value * (uniforms.reduce((a, b) => a + b) - 2)
      }, 0)
    })
    const both = [...products, ...products.map(value => -value)]
    bucket = bucket * factor + both.indexOf(Math.max(...both))
  }
  return bucket
}

/** The pairs of LSH attention by its definition, over all rounds. */
function lshPairs(kind: Lsh, body: Body, s: Sizes): Allowed {
  const rows = ({ shape, data }: Flat) => {
    const d = shape[3]
    return Array.from({ length: data.length / d }, (_, row) => data.slice(row * d, (row + 1) * d))
  }
  const hashes = (tensor: Flat) =>
    Array.from({ length: kind.rounds }, (_, round) =>
      rows(tensor).map(x => (kind.buckets === 1 ? 0 : bucketOf(x, round, kind))),
    )
  const [q, k] = [hashes(body.q as Flat), hashes(body.k as Flat)]
  return (b, h, i, j) => {
    const shift = shiftOf(body, s, b)
    const kvHead = b * s.kvHeads + Math.floor(h / s.group)
    const live = (body.kv_lengths as number[] | undefined)?.[b] ?? s.m
    for (let round = 0; round < kind.rounds; round++) {
      const keys = Array.from({ length: live }, (_, key) => ({ key, bucket: k[round][kvHead * s.m + key] }))
      const sorted = keys.toSorted((x, y) => x.bucket - y.bucket || x.key - y.key)
      const mine = q[round][(b * s.kvHeads * s.group + h) * s.n + i]
      const rank = sorted.findIndex(({ key }) => key === j)
      if (rank < 0 || sorted[rank].bucket !== mine) continue
      const before = sorted.findLastIndex(({ key, bucket }) => bucket === mine && key <= i + shift)
      const own = before < 0 ? sorted.findIndex(({ bucket }) => bucket === mine) : before
      if (Math.abs(Math.floor(own / kind.chunk) - Math.floor(rank / kind.chunk)) <= 1) return true
    }
    return false
  }
}

describe('LSH', () => {
  it('is exact attention to the pairs of its definition', async () => {
    const small = sizes.map(s => ({ ...s, n: Math.min(s.n, 17), m: Math.min(s.m, 23) }))
    await fc.assert(
      fc.asyncProperty(lsh, small, rules, seed, async (kind, s, r, from) => {
        const body: Body = { ...fieldsOf(r, s), ...tensors(s, from) }
        await expectMasked(body, kind, asMask(s, lshPairs(kind, body, s)))
      }),
      { numRuns: 60 },
    )
  })

  it('with one bucket and a chunk of everything is exact attention', async () => {
    const s = { batch: 2, kvHeads: 1, group: 2, n: 20, m: 33, d: 4, dv: 5 }
    for (const precision of ['float32', 'float64']) {
      const body = { ...tensors(s, 9), precision, causal: 'bottom_right' }
      const kind = { kind: 'lsh', buckets: 1, chunk: 33, rounds: 2 }
      const found = await runProgram(PATH, { ...body, attention_kind: kind })
      const exact = await runProgram(PATH, body)
      for (const name of ['output', 'grads.q', 'grads.k', 'grads.v']) {
        for (const [index, value] of exact.tensors[name].data.entries()) {
          expect(found.tensors[name].data[index], name).toBeCloseTo(value, precision === 'float32' ? 5 : 12)
        }
      }
    }
  })

  it('finds vectors that point the same way, more of them with more rounds', async () => {
    // every query is one key with a little noise: that key's weight is what there is to find
    const [n, d] = [64, 16]
    const draw = drawer(3)
    const k = draw(1, 1, n, d)
    const noise = draw(1, 1, n, d)
    const q = { shape: [1, 1, n, d], data: k.data.map((x, i) => x + 0.05 * noise.data[i]) }
    const found = async (rounds: number) => {
      const kind = { kind: 'lsh', rounds, buckets: 8, chunk: 8 }
      const body = { q, k, v: k, precision: 'float64', return: ['weights'], attention_kind: kind }
      const { data } = (await runProgram(PATH, body)).tensors.weights
      return Array.from({ length: n }, (_, i) => i).filter(i => data[i * n + i] > 0).length
    }
    const [one, four] = [await found(1), await found(4)]
    expect(one).toBeGreaterThan(0.6 * n)
    expect(four).toBeGreaterThanOrEqual(one)
    expect(four).toBeGreaterThan(0.95 * n)
  })
})

describe('gradients by central differences', () => {
  const picks = fc.array(fc.nat(), { minLength: 3, maxLength: 3 })
  const kinds = fc.oneof(fc.constant('linear'), sparse as fc.Arbitrary<unknown>)

  it.each([
    ['attention', PATH],
    ['self-attention', '/v1/self-attention'],
    ['multi-head attention', '/v1/multi-head-attention'],
  ])('%s', async (_, path) => {
    await fc.assert(
      fc.asyncProperty(kinds, rules, seed, picks, fc.boolean(), async (kind, r, from, at, entropy) => {
        const s = { batch: 2, kvHeads: 2, group: 2, n: 7, m: 7, d: 4, dv: 3 }
        const draw = drawer(from)
        const linear = kind === 'linear'
        const body: Body = { ...fieldsOf(r, s), attention_kind: kind }
        if (linear) delete body.window
        const last = path === PATH ? [2, 4, 7, 3] : path === '/v1/self-attention' ? [2, 7, 3] : [2, 7, 5]
        body.backward = { target: draw(...last), ...(entropy && !linear && { entropy_weight: 0.4 }) }
        if (path === PATH) Object.assign(body, tensors(s, from), { backward: body.backward })
        else {
          const heads = path === '/v1/self-attention' ? 1 : 4
          const kv = Math.max(1, heads / 2)
          body.x = draw(2, 7, 5)
          body.params = {
            w_q: draw(5, heads * 4),
            w_k: draw(5, kv * 4),
            w_v: draw(5, kv * 3),
            ...(heads > 1 && { w_o: draw(heads * 3, 5) }),
          }
          if (heads > 1) Object.assign(body, { heads, kv_heads: kv })
        }
        expect((await expectGradients(path, body, at)).length).toBeGreaterThan(2)
      }),
      { numRuns: 40 },
    )
  })

  it('of LSH, its selection being constant', async () => {
    await fc.assert(
      fc.asyncProperty(lsh, rules, seed, picks, async (kind, r, from, at) => {
        const s = { batch: 2, kvHeads: 2, group: 2, n: 9, m: 11, d: 4, dv: 3 }
        const body: Body = { ...fieldsOf(r, s), ...tensors(s, from), attention_kind: kind }
        Object.assign(body.backward as Body, { entropy_weight: 0.4 })
        await expectGradients(PATH, body, at)
      }),
      { numRuns: 40 },
    )
  })

  it('a stack of every kind, with the same bits from checkpoints', async () => {
    for (const kind of ['linear', 'lsh', 'local', 'strided', 'block', { kind: 'block', size: 2 }]) {
      const draw = drawer(17)
      const body: Body = {
        ...{
          precision: 'float64',
          attention_kind: kind,
          x: draw(2, 6, 4),
          q_lengths: [6, 4],
          kv_lengths: [6, 4],
        },
        stack: { layers: 2, heads: 2, d_ff: 5, causal: true, init: { seed: 4 }, position: 'rope' },
        backward: { target: draw(2, 6, 4) },
        return: ['output'],
      }
      const { params: _, ...inputs } = body
      const plain = await runProgram('/v1/transformer', inputs)
      const again = await runProgram('/v1/transformer', { ...inputs, checkpoint: true })
      expect(again.tensors).toEqual(plain.tensors)
      const wrt = { ...(body.backward as Body), wrt: ['x'] }
      await expectGradients('/v1/transformer', { ...inputs, backward: wrt }, [0, 7, 13, 30])
    }
  })
})

describe('edges', () => {
  const kinds = ['linear', 'lsh', 'local', 'strided', 'block']

  it.each(kinds)('%s takes sizes of 0', async attention_kind => {
    for (const size of [{ batch: 0 }, { n: 0 }, { m: 0 }]) {
      const s = { batch: 2, kvHeads: 1, group: 2, n: 3, m: 4, d: 2, dv: 3, ...size }
      for (const causal of [false, 'bottom_right']) {
        const body = { ...tensors(s, 2), causal, attention_kind, compare_exact: true }
        const found = await runProgram(PATH, body)
        for (const { data } of Object.values(found.tensors)) expect(data.every(x => x === 0)).toBe(true)
        expect(Object.values(found.scalars)).toEqual([0, 0, 0])
      }
    }
  })

  it('parameters beyond all positions are exact attention', async () => {
    const s = { batch: 1, kvHeads: 1, group: 1, n: 5, m: 9, d: 2, dv: 3 }
    const body = { ...tensors(s, 2), precision: 'float64', causal: 'bottom_right' }
    const exact = await runProgram(PATH, body)
    const far = 2 ** 30
    for (const attention_kind of [
      { kind: 'local', window: far },
      { kind: 'strided', stride: far },
      { kind: 'block', size: far, previous: true },
      { kind: 'lsh', buckets: 1, chunk: far },
    ]) {
      const found = await runProgram(PATH, { ...body, attention_kind })
      for (const [name, { data }] of Object.entries(exact.tensors)) {
        for (const [index, value] of data.entries())
          expect(found.tensors[name].data[index]).toBeCloseTo(value, 12)
      }
    }
  })
})

describe('what an answer says', () => {
  it('marks approximations, and compares them with exact attention', async () => {
    const s = { batch: 2, kvHeads: 1, group: 2, n: 12, m: 30, d: 4, dv: 3 }
    const body: Body = { ...tensors(s, 2), precision: 'float64', causal: 'bottom_right', q_lengths: [12, 9] }
    for (const kind of ['linear', 'lsh', 'local', 'strided', 'block']) {
      const small = { lsh: { kind, buckets: 4, chunk: 4 }, local: { kind, window: 4 } }
      const more = { strided: { kind, stride: 4 }, block: { kind, size: 4 } }
      const attention_kind = { ...small, ...more }[kind] ?? kind
      const found = await runProgram(PATH, { ...body, attention_kind, compare_exact: true })
      const exact = await runProgram(PATH, body)
      expect(found.program.facts).toEqual({ approximation: kind })
      const padding = (index: number) => index >= 2 * 12 * 3 && Math.floor(index / 3) % 12 >= 9
      const right = exact.tensors.output.data.filter((_, index) => !padding(index))
      const off = found.tensors.output.data.filter((_, index) => !padding(index)).map((x, i) => x - right[i])
      const norm = (x: number[]) => Math.hypot(...x)
      const errors = found.scalars
      expect(errors['exact_error.max_abs']).toBeCloseTo(Math.max(...off.map(Math.abs)), 12)
      expect(errors['exact_error.rms']).toBeCloseTo(norm(off) / Math.sqrt(off.length), 12)
      expect(errors['exact_error.relative']).toBeCloseTo(norm(off) / norm(right), 12)
      expect(errors['exact_error.relative']).toBeGreaterThan(0.01)
    }
    expect((await runProgram(PATH, body)).program.facts).toEqual({})
  })

  it.each<[string, Body, string]>([
    ['linear', { scale: 1 }, '/scale'],
    ['linear', { softcap: 1 }, '/softcap'],
    ['linear', { mask: [[true]] }, '/mask'],
    ['linear', { window: { left: 1 } }, '/window'],
    ['linear', { alibi: true }, '/alibi'],
    ['linear', { dropout: { p: 0.1 } }, '/dropout'],
    ['linear', { return: ['output', 'weights'] }, '/return/1'],
    ['linear', { return: ['entropy'] }, '/return/0'],
    ['lsh', { alibi: true }, '/alibi'],
    ['lsh', { return: ['dropped_weights'] }, '/return/0'],
    ['strided', { mask: [[true]] }, '/mask'],
    ['softmax', { compare_exact: true }, '/compare_exact'],
    ['local', { compare_exact: true, dropout: { p: 0.1 } }, '/compare_exact'],
  ])('%s refuses %j', async (kind, more, path) => {
    const s = { batch: 1, kvHeads: 1, group: 1, n: 2, m: 2, d: 2, dv: 2 }
    const request = runProgram(PATH, { ...tensors(s, 1), ...more, attention_kind: kind })
    await expect(request).rejects.toMatchObject({ code: 'INVALID_REQUEST', errors: [{ path }] })
  })

  it('linear refuses an entropy term, and a stack with ALiBi', async () => {
    const s = { batch: 1, kvHeads: 1, group: 1, n: 2, m: 2, d: 2, dv: 2 }
    const { backward, ...rest } = tensors(s, 1)
    const body = { ...rest, attention_kind: 'linear', backward: { ...backward, entropy_weight: 1 } }
    await expect(runProgram(PATH, body)).rejects.toMatchObject({
      errors: [{ path: '/backward/entropy_weight' }],
    })
    const stack = { layers: 1, heads: 1, position: 'alibi', init: {} }
    const request = runProgram('/v1/transformer', { x: drawer(1)(2, 2), stack, attention_kind: 'lsh' })
    await expect(request).rejects.toMatchObject({ errors: [{ path: '/stack/position' }] })
  })
})

describe('float32', () => {
  it('gives the same bits however the steps are cut', async () => {
    const kinds = ['linear', { kind: 'lsh', buckets: 8, chunk: 16 }, { kind: 'strided', stride: 9 }, 'block']
    const s = { batch: 2, kvHeads: 2, group: 2, n: 130, m: 150, d: 8, dv: 5 }
    for (const attention_kind of kinds) {
      const body = { ...tensors(s, 6), causal: true, attention_kind, compare_exact: true }
      const whole = await runProgram(PATH, body)
      const cut = await runProgram(PATH, body, 7)
      expect([cut.tensors, cut.scalars]).toEqual([whole.tensors, whole.scalars])
    }
  })

  it('agrees with float64 on every kind', async () => {
    const kinds = ['linear', 'lsh', 'local', 'strided', { kind: 'block', size: 32, previous: true }]
    const s = { batch: 1, kvHeads: 2, group: 2, n: 150, m: 200, d: 16, dv: 8 }
    const inputs = tensors(s, 4)
    // float32 numbers, so that both see the same problem and hash it alike
    for (const tensor of [inputs.q, inputs.k, inputs.v, inputs.backward.grad_output]) {
      tensor.data = tensor.data.map(Math.fround)
    }
    for (const attention_kind of kinds) {
      for (const causal of [false, 'bottom_right']) {
        const body = { ...inputs, causal, attention_kind, kv_lengths: [190] }
        const exact = await runProgram(PATH, { ...body, precision: 'float64' })
        const found = await runProgram(PATH, { ...body, precision: 'float32' })
        for (const [name, { data }] of Object.entries(exact.tensors)) {
          const largest = Math.max(...data.map(Math.abs))
          const worst = data.reduce(
            (most, x, i) => Math.max(most, Math.abs(x - found.tensors[name].data[i])),
            0,
          )
          expect(worst / largest, `${JSON.stringify(attention_kind)} ${name}`).toBeLessThan(2e-6)
        }
      }
    }
  })
})
