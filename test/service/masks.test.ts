/** Masks by position in requests: wherever they may stand and in every form the same as a dense mask; and what is refused. */
import { describe, expect, it } from 'vitest'
import { drawer, type Flat } from '../support/layer-cases.ts'
import { type FileTensor, writeFile } from './safetensors-file.ts'
import { type Answer, post, SAFETENSORS_TYPE, settled, startServer } from './server.ts'
import { StreamClient } from './stream-client.ts'

const server = await startServer()
const before = server.app.engine.arena.usedBytes
const draw = drawer(7)
const [B, N, M] = [2, 5, 6]
const qkv = { q: draw(B, 2, N, 4), k: draw(B, 1, M, 4), v: draw(B, 1, M, 3) }
const x = draw(B, N, 4)

async function body(path: string, request: object): Promise<Answer['body']> {
  const answer = await post(server, path, request)
  expect(answer.status, JSON.stringify(answer.body)).toBe(200)
  return answer.body
}

const named = (problem: { errors?: { path: string }[] }) => problem.errors?.map(({ path }) => path)

/** [B, 1, N, M] of a rule. */
const dense = (keys: number, attends: (b: number, i: number, j: number) => boolean) =>
  Array.from({ length: B }, (_, b) => [
    Array.from({ length: N }, (_, i) => Array.from({ length: keys }, (_, j) => attends(b, i, j))),
  ])

/** One request of each endpoint that attends; N = M but for the first. */
const LAYERS: [string, object][] = [
  ['/v1/self-attention', { x, init: { seed: 3 } }],
  ['/v1/multi-head-attention', { x, heads: 2, init: { seed: 3 } }],
  ['/v1/transformer', { x, stack: { layers: 2, heads: 2, init: { seed: 3 } } }],
]

/** Self-attention has no axis of heads. */
const maskOf = (path: string, mask: boolean[][][][]) =>
  path === '/v1/self-attention' ? mask.map(([head]) => head) : mask

/** All numbers of an answer, by place. */
function numbers(value: unknown, place = ''): [string, number][] {
  if (typeof value === 'number') return [[place, value]]
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, item]) => numbers(item, `${place}/${key}`))
}

/** The rule's answer is the dense mask's. */
async function sameAsDense(path: string, request: object, rule: object, mask: object): Promise<void> {
  const more = { precision: 'float64', return: ['output', 'weights', 'entropy'] }
  const [byRule, byMask] = [
    await body(path, { ...more, ...request, ...rule }),
    await body(path, { ...more, ...request, ...mask }),
  ]
  const strip = (answer: Answer['body']) => numbers({ ...answer, timings: undefined })
  const [found, expected] = [strip(byRule), strip(byMask)]
  expect(found.length).toBe(expected.length)
  for (const [at, [place, value]] of expected.entries()) {
    expect(found[at][0]).toBe(place)
    expect(Math.abs(found[at][1] - value), `${place}: ${found[at][1]}, ${value}`).toBeLessThan(1e-12)
  }
}

const whole = (numbers: number[], shape = [numbers.length]): FileTensor => ({
  dtype: 'I32',
  shape,
  data: new Uint8Array(Int32Array.from(numbers).buffer),
})

const real = ({ shape, data }: Flat): FileTensor => ({
  dtype: 'F32',
  shape,
  data: new Uint8Array(Float32Array.from(data).buffer),
})

/** The answer to a safetensors request, its tensors in JSON. */
async function byFile(tensors: Record<string, FileTensor>, request: object): Promise<Answer['body']> {
  const file = writeFile(
    { q: real(qkv.q), k: real(qkv.k), v: real(qkv.v), ...tensors },
    { request: JSON.stringify(request) },
  )
  const response = await fetch(`${server.url}/v1/attention`, {
    method: 'POST',
    headers: { 'content-type': SAFETENSORS_TYPE, accept: 'application/json' },
    body: file,
  })
  expect(response.status).toBe(200)
  return response.json()
}

/** The same bits in every form; `tensors` are the file's own. */
async function sameInEveryForm(forms: object[], tensors: Record<string, FileTensor>, options: object) {
  const request = { return: ['output', 'weights'], ...options }
  const answers = [await byFile(tensors, request)]
  for (const form of forms) answers.push(await body('/v1/attention', { ...qkv, ...request, ...form }))
  for (const answer of answers)
    expect({ ...answer, timings: undefined }).toEqual({ ...answers[0], timings: undefined })
}

async function refused(path: string, request: object, paths: string[], message: RegExp): Promise<void> {
  const { body } = await post(server, path, request)
  expect(body, JSON.stringify(body)).toMatchObject({ status: 400, detail: expect.stringMatching(message) })
  expect(named(body)).toEqual(paths)
}

describe('prefix_lengths', () => {
  const prefix_lengths = [4, 1]
  const open = (shift: number) => (b: number, i: number, j: number) => j <= i + shift || j < prefix_lengths[b]

  it('open the keys before them to every row', async () => {
    await sameAsDense('/v1/attention', qkv, { prefix_lengths, causal: true }, { mask: dense(M, open(0)) })
    const rule = { prefix_lengths, causal: 'bottom_right' }
    await sameAsDense('/v1/attention', qkv, rule, { mask: dense(M, open(M - N)) })
  })

  it('count the keys of the past', async () => {
    const request = { ...qkv, past_k: draw(B, 1, 2, 4), past_v: draw(B, 1, 2, 3) }
    const rule = { prefix_lengths, causal: true }
    await sameAsDense('/v1/attention', request, rule, { mask: dense(M + 2, open(2)) })
  })

  it.each(LAYERS)('in %s', async (path, request) => {
    const { stack } = request as { stack?: object }
    const backward = { target: draw(B, N, 4) }
    const causal = stack === undefined ? { causal: true } : { stack: { ...stack, causal: true } }
    const rule = { prefix_lengths, ...causal }
    await sameAsDense(path, { ...request, backward }, rule, { mask: maskOf(path, dense(N, open(0))) })
  })

  it('beside attention in passes', async () => {
    for (const attention_kind of [
      { kind: 'strided', stride: 1 },
      { kind: 'lsh', rounds: 1, buckets: 1, chunk: 64 },
    ]) {
      const { output } = await body('/v1/attention', { ...qkv, prefix_lengths, causal: true, attention_kind })
      const exact = await body('/v1/attention', { ...qkv, prefix_lengths, causal: true })
      for (const [at, [, value]] of numbers(exact.output).entries())
        expect(Math.abs(numbers(output)[at][1] - value)).toBeLessThan(1e-5)
    }
  })

  it('beside linear attention: its rows are those of one that sees the same keys', async () => {
    const linear = { ...qkv, attention_kind: 'linear', precision: 'float64' }
    const { output } = await body('/v1/attention', { ...linear, prefix_lengths, causal: true })
    for (let i = 0; i < N; i++) {
      const kv_lengths = prefix_lengths.map(length => Math.max(i + 1, length))
      const alone = await body('/v1/attention', { ...linear, kv_lengths })
      for (const b of [0, 1]) {
        for (const [at, value] of alone.output[b][0][i].entries())
          expect(output[b][0][i][at]).toBeCloseTo(value, 12)
      }
    }
  })

  it('in every form', async () => {
    const data = Buffer.from(Int32Array.from(prefix_lengths).buffer)
    const forms = [
      prefix_lengths,
      { shape: [2], data: prefix_lengths },
      { shape: [2], dtype: 'int32', base64: data.toString('base64') },
    ]
    await sameInEveryForm(
      forms.map(prefix_lengths => ({ prefix_lengths })),
      { prefix_lengths: whole(prefix_lengths) },
      { causal: true },
    )
  })

  it('in a plan', async () => {
    const plan = (prefix_lengths: unknown) =>
      body('/v1/plan', { endpoint: '/v1/attention', body: { ...qkv, causal: true, prefix_lengths } })
    const [none, some, all] = [await plan([0, 0]), await plan(prefix_lengths), await plan([M, M])]
    expect(none.flops).toBeLessThan(some.flops)
    expect(some.flops).toBeLessThan(all.flops)
    expect((await plan({ shape: [2] })).flops).toBe(all.flops)
  })

  it.each<[string, object, string[], RegExp]>([
    ['without causal', {}, ['/prefix_lengths', '/causal'], /expected causal beside prefix_lengths/],
    ['too long', { prefix_lengths: [1, 7], causal: true }, ['/prefix_lengths/1'], /from 0 to 6, got 7/],
    [
      'of another batch',
      { prefix_lengths: [1], causal: true },
      ['/prefix_lengths'],
      /expected \[2\], got \[1\]/,
    ],
  ])('%s is refused', async (_name, request, paths, message) => {
    await refused('/v1/attention', { ...qkv, prefix_lengths, ...request }, paths, message)
  })

  it('without causal in a stack names the stack’s', async () => {
    const request = { ...(LAYERS[2][1] as object), prefix_lengths }
    await refused('/v1/transformer', request, ['/prefix_lengths', '/stack/causal'], /expected causal/)
  })
})

describe('window.align', () => {
  const near = (place: (b: number, i: number) => number) => (b: number, i: number, j: number) =>
    j >= place(b, i) - 1 && j <= place(b, i) + 2
  const window = (align: string) => ({ window: { left: 1, right: 2, align } })

  it('counts from the corner it names, whatever causal says', async () => {
    const fromRight = {
      mask: dense(
        M,
        near((_, i) => i + M - N),
      ),
    }
    await sameAsDense('/v1/attention', qkv, window('bottom_right'), fromRight)
    const below = { mask: dense(M, (b, i, j) => j <= i + M - N && near((_, i) => i)(b, i, j)) }
    await sameAsDense('/v1/attention', qkv, { causal: 'bottom_right', ...window('top_left') }, below)
  })

  it('counts each batch element’s own rows and keys', async () => {
    const [q_lengths, kv_lengths] = [
      [4, 5],
      [6, 2],
    ]
    const place = (b: number, i: number) => i + kv_lengths[b] - q_lengths[b]
    const attends = (b: number, i: number, j: number) =>
      i < q_lengths[b] && j < kv_lengths[b] && near(place)(b, i, j)
    const rule = { q_lengths, kv_lengths, ...window('bottom_right') }
    await sameAsDense('/v1/attention', qkv, rule, { mask: dense(M, attends) })
  })

  it('counts the past', async () => {
    const request = { ...qkv, past_k: draw(B, 1, 3, 4), past_v: draw(B, 1, 3, 3) }
    const [top, bottom] = [near((_, i) => i + 3), near((_, i) => i + M + 3 - N)]
    await sameAsDense('/v1/attention', request, window('top_left'), { mask: dense(M + 3, top) })
    await sameAsDense('/v1/attention', request, window('bottom_right'), { mask: dense(M + 3, bottom) })
  })

  it.each(LAYERS)('in %s', async (path, request) => {
    const backward = { target: draw(B, N, 4) }
    const lengths = { kv_lengths: [3, N] }
    const place = (b: number, i: number) => i + lengths.kv_lengths[b] - N
    const mask = dense(N, (b, i, j) => j < lengths.kv_lengths[b] && near(place)(b, i, j))
    const rule = { ...window('bottom_right'), ...lengths }
    await sameAsDense(path, { ...request, backward }, rule, { mask: maskOf(path, mask) })
  })

  it('of another corner is refused', async () => {
    await refused('/v1/attention', { ...qkv, ...window('left') }, ['/window/align'], /top_left/)
  })
})

describe('segments', () => {
  // two runs, padding at the end; then out of order
  const q = [
    [4, 4, 7, 7, -1],
    [2, 1, 2, -1, 1],
  ]
  const kv = [
    [4, 4, 4, 7, 7, -1],
    [2, 2, 1, 1, 2, -3],
  ]
  const same = (rows: number[][], columns: number[][]) => (b: number, i: number, j: number) =>
    rows[b][i] >= 0 && rows[b][i] === columns[b][j]

  it('attend only to their own', async () => {
    const backward = { target: draw(B, 2, N, 3), entropy_weight: 0.2 }
    const rule = { segments: { q, kv } }
    await sameAsDense('/v1/attention', { ...qkv, backward }, rule, { mask: dense(M, same(q, kv)) })
  })

  it('beside every other mask', async () => {
    const options = { kv_lengths: [4, 6], q_lengths: [5, 4], causal: true, window: { left: 2 } }
    const rule = { segments: { q, kv }, ...options }
    await sameAsDense('/v1/attention', qkv, rule, { mask: dense(M, same(q, kv)), ...options })
  })

  it('a float mask beside them has its gradient, 0 between segments', async () => {
    const mask = draw(B, 1, N, M)
    const attends = same(q, kv)
    const place = (at: number) =>
      [Math.floor(at / (N * M)), Math.floor(at / M) % N, at % M] as [number, number, number]
    const data = mask.data.map((value, at) => (attends(...place(at)) ? value : '-Infinity'))
    const backward = { target: draw(B, 2, N, 3) }
    const rule = { segments: { q, kv }, mask }
    await sameAsDense('/v1/attention', { ...qkv, backward }, rule, { mask: { shape: mask.shape, data } })
  })

  it.each(LAYERS)('of q are those of kv, in %s', async (path, request) => {
    const backward = { target: draw(B, N, 4) }
    const mask = maskOf(path, dense(N, same(q, q)))
    await sameAsDense(path, { ...request, backward }, { segments: { q } }, { mask })
  })

  it('in attention to a context', async () => {
    const [path, request] = LAYERS[1]
    const crossed = { ...request, context: draw(B, M, 4) }
    await sameAsDense(path, crossed, { segments: { q, kv } }, { mask: dense(M, same(q, kv)) })
  })

  it.each([
    ['local', { kind: 'local', window: 2 }],
    ['block', { kind: 'block', size: 3 }],
  ])('beside %s attention, and compared with the exact one', async (_name, attention_kind) => {
    const request = { ...qkv, attention_kind, compare_exact: true }
    await sameAsDense('/v1/attention', request, { segments: { q, kv } }, { mask: dense(M, same(q, kv)) })
  })

  it.each(['float32', 'float64'])(
    '%s: nothing leaks from one into another, not even a NaN',
    async precision => {
      const keys = same(q, kv)
      for (const [b, j] of [
        [0, 4],
        [0, 5],
        [1, 2],
        [1, 5],
      ]) {
        const poisoned = ({ shape, data }: Flat) => {
          const dim = shape[3]
          return {
            shape,
            data: data.map((value, at) => (Math.floor(at / dim) === b * M + j ? 'NaN' : value)),
          }
        }
        const grad_output = { ...qkv.q, shape: [B, 2, N, 3], data: qkv.q.data.slice(0, B * 2 * N * 3) }
        const request = { ...qkv, precision, segments: { q, kv }, return: ['output', 'weights'] }
        const more = { backward: { grad_output, wrt: ['q'] }, non_finite: 'propagate' }
        const clean = await body('/v1/attention', { ...request, ...more })
        const poison = { k: poisoned(qkv.k), v: poisoned(qkv.v) }
        const found = await body('/v1/attention', { ...request, ...more, ...poison })
        for (let i = 0; i < N; i++) {
          for (const h of [0, 1]) {
            const rows = (answer: Answer['body']) =>
              [answer.output, answer.weights, answer.grads.q].map(map => map[b][h][i])
            if (keys(b, i, j)) expect(JSON.stringify(rows(found))).toContain('NaN')
            else expect(rows(found)).toEqual(rows(clean))
          }
        }
      }
    },
  )

  it('without a batch need no axis for it', async () => {
    const one = { q: draw(N, 4), k: draw(M, 4), v: draw(M, 3) }
    const mask = Array.from({ length: N }, (_, i) =>
      Array.from({ length: M }, (_, j) => same(q, kv)(0, i, j)),
    )
    await sameAsDense('/v1/attention', one, { segments: { q: q[0], kv: kv[0] } }, { mask })
    await sameAsDense('/v1/attention', one, { segments: { q: [q[0]], kv: [kv[0]] } }, { mask })
  })

  it('in every form', async () => {
    const flat = (ids: number[][]) => ({ shape: [B, ids[0].length], data: ids.flat() })
    const packed = (ids: number[][]) => ({
      shape: [B, ids[0].length],
      dtype: 'int64',
      base64: Buffer.from(BigInt64Array.from(ids.flat().map(BigInt)).buffer).toString('base64'),
    })
    await sameInEveryForm(
      [
        { segments: { q, kv } },
        { segments: { q: flat(q), kv: flat(kv) } },
        { segments: { q: packed(q), kv } },
      ],
      { 'segments.q': whole(q.flat(), [B, N]), 'segments.kv': whole(kv.flat(), [B, M]) },
      {},
    )
  })

  it('cost what their own pairs cost, where the main thread reads them', async () => {
    const shape = (...shape: number[]) => ({ shape })
    const [length, parts] = [2048, 16]
    const long = { q: shape(length, 8), k: shape(length, 8), v: shape(length, 8) }
    const plan = async (endpointBody: object) =>
      (await body('/v1/plan', { endpoint: '/v1/attention', body: endpointBody })).flops
    const ids = Array.from({ length }, (_, i) => Math.floor((i * parts) / length))
    for (const causal of [false, true]) {
      const [alone, all] = [
        await plan({ ...long, causal, segments: { q: ids } }),
        await plan({ ...long, causal }),
      ]
      const q = shape(parts, length / parts, 8)
      const apart = await plan({ q, k: q, v: q, causal })
      expect(Math.abs(alone / apart - 1)).toBeLessThan(0.02)
      // in no order that intervals could follow all of it may have to be gone through
      const backwards = { q: ids.toReversed(), kv: ids }
      expect(await plan({ ...long, causal, segments: backwards })).toBeGreaterThan(0.9 * all)
      // by its shape it might be one segment
      expect(await plan({ ...long, causal, segments: { q: shape(length) } })).toBe(all)
    }
  })

  it('in a plan, by their shapes', async () => {
    const plan = (segments: object) =>
      post(server, '/v1/plan', { endpoint: '/v1/attention', body: { ...qkv, segments } })
    expect((await plan({ q: { shape: [B, N] }, kv: { shape: [B, M] } })).body.admitted).toBe(true)
    expect(named((await plan({ q: { shape: [N] }, kv })).body)).toEqual(['/body/segments/q/shape'])
  })

  it.each<[string, object, string[], RegExp]>([
    [
      'queries of another number',
      { segments: { q: kv, kv } },
      ['/segments/q'],
      /expected \[2, 5\], got \[2, 6\]/,
    ],
    [
      'keys of another number',
      { segments: { q, kv: q } },
      ['/segments/kv'],
      /expected \[2, 6\], got \[2, 5\]/,
    ],
    ['of no batch', { segments: { q: q[0], kv } }, ['/segments/q'], /expected \[2, 5\], got \[5\]/],
    [
      'of q alone where N ≠ M',
      { segments: { q } },
      ['/segments/kv'],
      /beside segments.q where N = 5 and M = 6/,
    ],
    ['of keys alone', { segments: { kv } }, ['/segments/q'], /expected/],
    ['no integers', { segments: { q: [[0.5, 0, 0, 0, 0], q[1]], kv } }, ['/segments/q/0/0'], /integer/],
    [
      'beside a past',
      { segments: { q, kv }, past_k: draw(B, 1, 2, 4), past_v: draw(B, 1, 2, 3) },
      ['/segments', '/past_k'],
      /segments or past_k, got both/,
    ],
    ['linear', { segments: { q, kv }, attention_kind: 'linear' }, ['/segments'], /"attention_kind":"linear"/],
    ['lsh', { segments: { q, kv }, attention_kind: 'lsh' }, ['/segments'], /"attention_kind":"lsh"/],
    ['strided', { segments: { q, kv }, attention_kind: 'strided' }, ['/segments'], /"strided"/],
  ])('%s: refused', async (_name, request, paths, message) => {
    await refused('/v1/attention', { ...qkv, ...request }, paths, message)
  })
})

it('over the stream: the layers of a stack as it answers them at once', async () => {
  const stack = { layers: 2, heads: 2, causal: true, init: { seed: 3 } }
  const options = {
    segments: {
      q: [
        [0, 0, 1, 1, 1],
        [2, 2, 2, -1, 2],
      ],
    },
    window: { left: 3, align: 'bottom_right' },
    prefix_lengths: [2, 3],
  }
  const { layers } = await body('/v1/transformer', { x, stack, ...options, return: ['weights'] })
  const client = await StreamClient.open(server)
  client.send({ type: 'start', id: 'a', x, stack, ...options })
  expect((await client.ended('a')).type).toBe('done')
  const found = client.of('layer').map(({ tensors }) => tensors.weights)
  expect(found).toEqual(layers.map(({ weights }: { weights: unknown }) => weights))
  await client.close()
})

it('leaves no memory behind', async () => {
  expect(await settled(server, before)).toBe(before)
})
