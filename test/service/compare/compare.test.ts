/** `POST /v1/compare`: right kernels pass, wrong ones fail where they are wrong, and what cannot be compared is told. */
import { describe, expect, it } from 'vitest'
import { fromFloat8 } from '../../../workers/text/float8.ts'
import { roundTo, toBfloat16, toFloat16 } from '../../../workers/text/float16.ts'
import { type FileTensor, float32, writeFile } from '../safetensors-file.ts'
import { post, SAFETENSORS_TYPE, startServer } from '../server.ts'
import { kernel, type Mistakes, type Problem } from './kernel.ts'
import { draw, type Flat } from './tensors.ts'

const server = await startServer()
const compare = (body: unknown) => post(server, '/v1/compare', body)

const causal = (score: number, _b: number, _h: number, i: number, j: number) =>
  j <= i ? score : Number.NEGATIVE_INFINITY

/** The code of a number that float8_e4m3 has. */
function codeOf(value: number): number {
  return Array.from({ length: 256 }, (_, code) => code).find(code =>
    Object.is(fromFloat8('float8_e4m3', code), value),
  ) as number
}

/** [2, 4, 17, 8] with two kv heads of 17 keys. */
function problem(seed = 1): Problem & { gradOutput: Flat } {
  return {
    q: draw(seed, 2, 4, 17, 8),
    k: draw(seed + 1, 2, 2, 17, 8),
    v: draw(seed + 2, 2, 2, 17, 8),
    gradOutput: draw(seed + 3, 2, 4, 17, 8),
  }
}

function call({ q, k, v, gradOutput }: Problem, candidate: unknown, more: object = {}, fields: object = {}) {
  const backward = gradOutput && { grad_output: gradOutput }
  return compare({
    endpoint: '/v1/attention',
    body: { q, k, v, ...(backward && { backward }), ...fields },
    candidate,
    diagnose: false,
    ...more,
  })
}

describe('a right kernel', () => {
  it.each(['float32', 'float16', 'bfloat16', 'float8_e4m3'])(
    'passes in %s, forward and backward, in blocks of any size',
    async dtype => {
      for (const block of [3, 8, 64]) {
        const p = { ...problem(block), mask: causal }
        const { status, body } = await call(
          p,
          kernel(p, {}, dtype, block),
          { candidate_dtype: dtype },
          { causal: true },
        )
        expect(status).toBe(200)
        expect([block, body]).toMatchObject([block, { verdict: 'pass' }])
        expect(Object.keys(body.tensors)).toEqual(['output', 'logsumexp', 'grads.q', 'grads.k', 'grads.v'])
        for (const tensor of Object.values<Record<string, number>>(body.tensors)) {
          expect(tensor.mismatched).toBe(0)
          expect(tensor.max_abs).toBeLessThanOrEqual(tensor.allowed)
          expect(tensor.cosine).toBeGreaterThan(dtype === 'float8_e4m3' ? 0.99 : 0.999)
        }
      }
    },
  )
})

describe('a wrong kernel', () => {
  const wrong: [string, Mistakes, string[]][] = [
    [
      'forgets the last key of each block',
      { lostTail: 1 },
      ['output', 'logsumexp', 'grads.q', 'grads.k', 'grads.v'],
    ],
    [
      'does not rescale what came before a new maximum',
      { rescale: 'missing' },
      ['output', 'logsumexp', 'grads.q', 'grads.k', 'grads.v'],
    ],
    ['leaves delta out', { delta: 'missing' }, ['grads.q', 'grads.k']],
    ['leaves the scale out of dq', { gradQScale: Math.sqrt(8) }, ['grads.q']],
    ['sums no group', { groupSum: 'last' }, ['grads.k']],
  ]
  it.each(wrong)('%s: fails there, and only there', async (_, mistakes, failing) => {
    const p = problem(5)
    const { body } = await call(p, kernel(p, mistakes))
    expect(body.verdict).toBe('fail')
    const found = Object.entries<{ verdict: string }>(body.tensors).flatMap(([name, { verdict }]) =>
      verdict === 'fail' ? [name] : [],
    )
    expect(found).toEqual(failing)
  })
})

describe('what is told of a tensor', () => {
  const p = problem(9)
  const right = kernel(p)

  it('is where it is wrong: worst elements, heads, the first bad row', async () => {
    const data = [...right.output.data]
    const at = ((1 * 4 + 2) * 17 + 5) * 8 + 3
    data[at] += 0.5
    const { body } = await call(p, { output: { ...right.output, data } }, { top: 3 })
    const { output } = body.tensors
    expect(output).toMatchObject({ verdict: 'fail', mismatched: 1, nan: 0, inf: 0, first_bad_row: [1, 2, 5] })
    expect(output.max_abs).toBeCloseTo(0.5, 5)
    expect(output.worst).toHaveLength(3)
    expect(output.worst[0]).toMatchObject({ index: [1, 2, 5, 3], got: data[at] })
    expect(output.worst[0].want).toBeCloseTo(data[at] - 0.5, 5)
    expect(output.heads).toHaveLength(8)
    for (const { index, verdict } of output.heads) {
      expect([index, verdict]).toEqual([index, String(index) === '1,2' ? 'fail' : 'pass'])
    }
    expect(body.conditioning.rows).toBe(2 * 4 * 17)
    expect(body.conditioning.spread).toBeGreaterThan(body.conditioning.largest_score / 2)
  })

  it('says of NaN and infinities that they are there', async () => {
    const data: unknown[] = [...right.output.data]
    data[7] = 'NaN'
    data[8 * 17] = '-Infinity'
    const { status, body } = await call(p, { output: { ...right.output, data } })
    expect(status).toBe(200)
    const { output } = body.tensors
    expect(output).toMatchObject({ verdict: 'fail', nan: 1, inf: 1, mismatched: 2, first_bad_row: [0, 0, 0] })
    expect(
      output.worst
        .slice(0, 2)
        .map(({ got }: { got: unknown }) => got)
        .sort(),
    ).toEqual(['-Infinity', 'NaN'])
    expect(output.max_abs).toBeLessThan(1e-5)
  })

  it('goes by a tolerance where one is given', async () => {
    const data = right.output.data.map(x => x * 1.01)
    const candidate = { output: { ...right.output, data } }
    const rule = (rtol: number) => ({ rule: { kind: 'tolerance', rtol, atol: 1e-6 } })
    expect((await call(p, candidate)).body.verdict).toBe('fail')
    expect((await call(p, candidate, rule(0.011))).body.verdict).toBe('pass')
    expect((await call(p, candidate, rule(0.009))).body.verdict).toBe('fail')
  })

  it('has the axes of the layout that the body has', async () => {
    const turn = ({ shape: [b, h, n, d], data }: Flat): Flat => {
      const turned = Array.from(data, (_, at) => {
        const [x, head, row, batch] = [
          at % d,
          Math.floor(at / d) % h,
          Math.floor(at / (d * h)) % n,
          Math.floor(at / (d * h * n)),
        ]
        return data[((batch * h + head) * n + row) * d + x]
      })
      return { shape: [b, n, h, d], data: turned }
    }
    const turned = { q: turn(p.q), k: turn(p.k), v: turn(p.v) }
    const candidate = turn(right.output)
    candidate.data[((1 * 17 + 5) * 4 + 2) * 8] += 1
    const { body } = await call(turned, { output: candidate }, {}, { layout: 'bnhd' })
    const { output } = body.tensors
    expect(output).toMatchObject({ mismatched: 1, first_bad_row: [1, 5, 2] })
    expect(output.worst[0].index).toEqual([1, 5, 2, 0])
    const bad = output.heads.filter(({ verdict }: { verdict: string }) => verdict === 'fail')
    expect(bad).toMatchObject([{ index: [1, 2] }])
  })
})

describe('what cannot be compared', () => {
  const p = problem(13)
  const { output } = kernel(p)

  const cases: [string, object, string, RegExp][] = [
    [
      'another shape',
      { candidate: { output: draw(1, 2, 4, 17, 7) } },
      '/candidate/output/shape',
      /expected \[2, 4, 17, 8\], the shape of output, got \[2, 4, 17, 7\]/,
    ],
    [
      'what is not answered',
      { candidate: { outputs: output } },
      '/candidate/outputs',
      /output, weights.* got outputs/,
    ],
    [
      'gradients without backward',
      { candidate: { grads: { q: output } }, body: { q: p.q, k: p.k, v: p.v } },
      '/candidate/grads/q',
      /backward/,
    ],
    [
      'an unknown dtype',
      { candidate_dtype: 'float8_e5m2' },
      '/candidate_dtype',
      /float32.*float16.*bfloat16.*float8_e4m3/,
    ],
    ['an unknown rule', { rule: { kind: 'exact' } }, '/rule/kind', /baseline.*tolerance/],
    ['an unknown endpoint', { endpoint: '/v1/attend' }, '/endpoint', /\/v1\/attention.*\/v1\/transformer/],
    ['no candidate', { candidate: {} }, '/candidate', /got none/],
    ['no tensor', { candidate: { output: 'much' } }, '/candidate/output', /expected a tensor/],
    ['a wrong body', { body: { q: p.q, k: p.k } }, '/body/v', /expected/],
    ['shapes of a body that do not fit', { body: { q: p.q, k: p.q, v: p.v } }, '/body/v/shape', /expected/],
    [
      'a NaN in the body',
      { body: { ...p, gradOutput: undefined, q: { ...p.q, data: ['NaN', ...p.q.data.slice(1)] } } },
      '/body/q/data/0',
      /NaN/,
    ],
  ]
  it.each(cases)('%s: a 400', async (_, more, path, message) => {
    const base = { endpoint: '/v1/attention', body: { q: p.q, k: p.k, v: p.v }, candidate: { output } }
    const { status, body } = await compare({ ...base, ...more })
    expect([status, body.errors?.[0]?.path, body.detail]).toEqual([400, path, expect.stringMatching(message)])
  })
})

describe('it is an endpoint like others', () => {
  it('reads safetensors: the body’s tensors under `body.`, the candidate’s under `candidate.`', async () => {
    const p = { ...problem(17), mask: causal }
    const { output, grads } = kernel(p)
    const tensors: Record<string, FileTensor> = {}
    const put = (name: string, { shape, data }: Flat) => {
      tensors[name] = float32(data, shape)
    }
    for (const name of ['q', 'k', 'v'] as const) {
      put(`body.${name}`, p[name])
      put(`candidate.grads.${name}`, (grads as NonNullable<typeof grads>)[name])
    }
    put('body.backward.grad_output', p.gradOutput)
    put('candidate.output', output)
    const request = JSON.stringify({ endpoint: '/v1/attention', body: { causal: true } })
    const response = await fetch(`${server.url}/v1/compare`, {
      method: 'POST',
      headers: { 'content-type': SAFETENSORS_TYPE },
      body: writeFile(tensors, { request }),
    })
    const body = (await response.json()) as { verdict: string; tensors: object }
    expect(response.status).toBe(200)
    expect(body.verdict).toBe('pass')
    expect(Object.keys(body.tensors).sort()).toEqual(['grads.k', 'grads.q', 'grads.v', 'output'])
  })

  it('reads candidates in F16, BF16 and F8_E4M3, and counts units of their dtype', async () => {
    const p = problem(19)
    const { output } = kernel(p)
    const codes = {
      float16: ['F16', (x: number) => toFloat16(x)],
      bfloat16: ['BF16', (x: number) => toBfloat16(x)],
      float8_e4m3: ['F8_E4M3', (x: number) => codeOf(roundTo('float8_e4m3', x))],
    } as const
    for (const [candidate_dtype, [dtype, code]] of Object.entries(codes)) {
      const words = output.data.map(code)
      const bytes =
        dtype === 'F8_E4M3' ? Uint8Array.from(words) : new Uint8Array(Uint16Array.from(words).buffer)
      const tensors: Record<string, FileTensor> = {
        'candidate.output': { dtype, shape: output.shape, data: bytes },
      }
      for (const name of ['q', 'k', 'v'] as const)
        tensors[`body.${name}`] = float32(p[name].data, p[name].shape)
      const request = JSON.stringify({ endpoint: '/v1/attention', candidate_dtype })
      const response = await fetch(`${server.url}/v1/compare`, {
        method: 'POST',
        headers: { 'content-type': SAFETENSORS_TYPE },
        body: writeFile(tensors, { request }),
      })
      const body = (await response.json()) as { verdict: string; tensors: { output: { max_ulp: number } } }
      expect([candidate_dtype, response.status, body.verdict]).toEqual([candidate_dtype, 200, 'pass'])
      // the right numbers, rounded once
      expect(body.tensors.output.max_ulp).toBeGreaterThan(0.4)
      expect(body.tensors.output.max_ulp).toBeLessThan(0.51)
    }
  })

  it('takes no float8 but as a candidate', async () => {
    const { q, k, v } = problem(19)
    const small = { shape: q.shape, dtype: 'float8_e4m3', data: q.data }
    const sent = { endpoint: '/v1/attention', body: { q: small, k, v }, candidate: { output: q } }
    const { status, body } = await compare(sent)
    expect([status, body.errors[0].path]).toEqual([400, '/body/q/dtype'])
  })

  it('judges other endpoints, too: what they answer passes, and another answer fails', async () => {
    const flat = (seed: number, ...shape: number[]) => draw(seed, ...shape)
    const stack = { layers: 2, heads: 2, norm: 'pre', causal: true, init: { seed: 1 } }
    const calls: [string, Record<string, unknown>][] = [
      [
        '/v1/multi-head-attention',
        { x: flat(1, 2, 9, 8), heads: 2, init: {}, backward: { target: flat(2, 2, 9, 8) } },
      ],
      ['/v1/self-attention', { x: flat(1, 9, 8), init: {}, rope: {} }],
      [
        '/v1/transformer',
        {
          x: flat(1, 9, 8),
          stack,
          return: ['output', 'weights'],
          backward: { target: flat(2, 9, 8), wrt: ['x'] },
        },
      ],
      ['/v1/positional-encoding', { kind: 'rope', x: flat(1, 2, 9, 8) }],
    ]
    for (const [endpoint, body] of calls) {
      const own = await post(server, endpoint, { ...body, return: body.return ?? undefined })
      expect([endpoint, own.status, own.body.detail]).toEqual([endpoint, 200, undefined])
      const { loss: _, ...candidate } = own.body
      for (const candidate_dtype of ['float32', 'bfloat16']) {
        const answer = await compare({ endpoint, body, candidate, candidate_dtype })
        expect([endpoint, answer.body.detail, answer.body.verdict]).toEqual([endpoint, undefined, 'pass'])
      }
      const wrong = {
        output: JSON.parse(JSON.stringify(candidate.output, (_, x) => (typeof x === 'number' ? x + 0.5 : x))),
      }
      const answer = await compare({ endpoint, body, candidate: wrong, diagnose: false })
      expect([endpoint, answer.body.verdict]).toEqual([endpoint, 'fail'])
    }
  })

  it('has a plan', async () => {
    const shape = (...extents: number[]) => ({ shape: extents })
    const body = {
      endpoint: '/v1/attention',
      body: { q: shape(1, 8, 64, 16), k: shape(1, 8, 64, 16), v: shape(1, 8, 64, 16) },
      candidate: { output: shape(1, 8, 64, 16) },
    }
    const answer = await post(server, '/v1/plan', { endpoint: '/v1/compare', body })
    expect(answer.status).toBe(200)
    expect(answer.body).toMatchObject({ admitted: true, shapes: {} })
    expect(answer.body.flops).toBeGreaterThan(2 * 2 * 8 * 64 * 64 * 32)
  })
})
