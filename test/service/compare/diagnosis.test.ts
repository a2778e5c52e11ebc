/** Why a candidate is wrong: each mistake is named, by the change under which the same call passes. */
import { describe, expect, it } from 'vitest'
import { type FileTensor, writeFile } from '../safetensors-file.ts'
import { post, SAFETENSORS_TYPE, startServer } from '../server.ts'
import { kernel, type Mistakes, type Problem, type Results } from './kernel.ts'
import { draw, type Flat } from './tensors.ts'

const server = await startServer()

const NOTHING = Number.NEGATIVE_INFINITY
const causal = (score: number, _b: number, _h: number, i: number, j: number) => (j <= i ? score : NOTHING)

function problem(seed: number, queries = 9, keys = 11): Problem & { gradOutput: Flat } {
  return {
    q: draw(seed, 1, 4, queries, 8),
    k: draw(seed + 1, 1, 2, keys, 8),
    v: draw(seed + 2, 1, 2, keys, 8),
    gradOutput: draw(seed + 3, 1, 4, queries, 8),
  }
}

type Diagnosis = { says: string; change: Record<string, unknown> | null; explains: number }[]

async function diagnosed(body: object, candidate: unknown, dtype = 'float32'): Promise<Diagnosis> {
  const call = { endpoint: '/v1/attention', body, candidate, candidate_dtype: dtype }
  const answer = await post(server, '/v1/compare', call)
  expect([answer.status, answer.body.detail, answer.body.verdict]).toEqual([200, undefined, 'fail'])
  return answer.body.diagnosis
}

/** A merge patch, as RFC 7396 says. */
function merged(body: Record<string, unknown>, patch: Record<string, unknown>): Record<string, unknown> {
  const result = { ...body }
  for (const [field, value] of Object.entries(patch)) {
    if (value === null) delete result[field]
    else if (typeof value === 'object' && !Array.isArray(value)) {
      result[field] = merged(
        (result[field] ?? {}) as Record<string, unknown>,
        value as Record<string, unknown>,
      )
    } else result[field] = value
  }
  return result
}

describe('a mistake that a request can say', () => {
  const square = problem(1, 9, 9)
  const wide = problem(5, 9, 11)
  const { q, k, v } = wide
  const even = { q: draw(1, 2, 4, 6, 8), k: draw(2, 2, 4, 6, 8), v: draw(3, 2, 4, 6, 8) }
  const boolMask = {
    shape: [9, 11],
    dtype: 'bool',
    data: Array.from({ length: 99 }, (_, at) => at % 4 !== 1),
  }
  const floatMask = draw(9, 9, 11)
  const cases: [string, Record<string, unknown>, Record<string, unknown>, RegExp][] = [
    ['causal missing', { q, k, v, causal: true }, { causal: false }, /causal mask is not applied/],
    ['causal added', { q, k, v }, { causal: 'top_left' }, /aligned top left.*does not ask for/],
    [
      'the other corner',
      { q, k, v, causal: true },
      { causal: 'bottom_right' },
      /aligned bottom right.*instead of top left/,
    ],
    [
      'the other corner of two',
      { q, k, v, causal: 'bottom_right' },
      { causal: 'top_left' },
      /aligned top left.*instead of bottom right/,
    ],
    ['not scaled', { q, k, v }, { scale: 1 }, /not scaled/],
    ['scaled twice', { q, k, v, scale: 0.5 }, { scale: 0.25 }, /applied twice/],
    ['scaled by 1/d', { q, k, v }, { scale: 1 / 8 }, /by 1\/d_k/],
    ['scale ignored', { q, k, v, scale: 0.7 }, { scale: 1 / Math.sqrt(8) }, /whatever `scale` says/],
    ['twice the scores', { q, k, v }, { scale: 2 / Math.sqrt(8) }, /twice what they should be/],
    ['log2e in the wrong place', { q, k, v }, { scale: Math.log2(Math.E) / Math.sqrt(8) }, /log₂e/],
    ['powers of 2', { q, k, v }, { scale: Math.LN2 / Math.sqrt(8) }, /powers of 2/],
    ['softcap missing', { q, k, v, softcap: 1 }, { softcap: null }, /softcap is not applied/],
    [
      'window off by one',
      { q, k, v, window: { left: 3, right: 1 } },
      { window: { left: 2 } },
      /one key too narrow at its left end/,
    ],
    [
      'window off at the right',
      { q, k, v, window: { left: 3, right: 1 } },
      { window: { right: 2 } },
      /one key too wide at its right end/,
    ],
    [
      'window off at both',
      { q, k, v, window: { left: 3, right: 1 } },
      { window: { left: 4, right: 2 } },
      /too wide at both ends/,
    ],
    [
      'window of the other corner',
      { q, k, v, window: { left: 3, right: 1 } },
      { window: { align: 'bottom_right' } },
      /bottom right corner/,
    ],
    ['window missing', { q, k, v, window: { left: 3 } }, { window: null }, /window is not applied/],
    [
      'alibi sign',
      { ...square, gradOutput: undefined, alibi: true },
      { alibi: [-(2 ** -2), -(2 ** -4), -(2 ** -6), -(2 ** -8)] },
      /wrong sign/,
    ],
    [
      'alibi missing',
      { ...square, gradOutput: undefined, alibi: true },
      { alibi: null },
      /ALiBi bias is not added/,
    ],
    [
      'rope of other pairs',
      { q, k, v, rope: { interleaved: true } },
      { rope: { interleaved: false } },
      /halves.*instead of neighbours/,
    ],
    ['rope missing', { q, k, v, rope: {} }, { rope: null }, /not rotated/],
    ['layout', even, { layout: 'bnhd' }, /read as \[B, N, H, d\]/],
    ['mask ignored', { q, k, v, mask: boolMask }, { mask: null }, /mask is not applied/],
    ['bias ignored', { q, k, v, mask: floatMask }, { mask: null }, /mask is not applied/],
    ['kv_lengths ignored', { q, k, v, kv_lengths: [7] }, { kv_lengths: null }, /behind `kv_lengths`/],
    ['sinks ignored', { q, k, v, sinks: [0.5, 1, 2, 0] }, { sinks: null }, /sinks/],
  ]
  it.each(cases)('%s', async (_, body, change, says) => {
    const answer = await post(server, '/v1/attention', merged(body, change))
    expect([answer.status, answer.body.detail]).toEqual([200, undefined])
    const diagnosis = await diagnosed(body, { output: answer.body.output })
    expect(diagnosis).toContainEqual({ says: expect.stringMatching(says), change, explains: 1 })
    // whatever is named passes: the same call, with the patch applied
    for (const { change } of diagnosis) {
      if (change === null) continue
      const call = {
        endpoint: '/v1/attention',
        body: merged(body, change),
        candidate: { output: answer.body.output },
      }
      expect([change, (await post(server, '/v1/compare', call)).body.verdict]).toEqual([change, 'pass'])
    }
  })
})

describe('a mistake that no request says', () => {
  const p = problem(21)
  const { q, k, v, gradOutput } = p
  const scale = 1 / Math.sqrt(8)
  const body = { q, k, v, backward: { grad_output: gradOutput } }
  const right = kernel(p)
  const grads = right.grads as NonNullable<Results['grads']>
  const mutants: [string, Mistakes, RegExp][] = [
    ['interleaved heads', { kvHead: (h, _, kvHeads) => h % kvHeads }, /interleaved instead of grouped/],
    ['dq without scale', { gradQScale: 1 / scale }, /missing in the gradient of q\./],
    ['dk without scale', { gradKScale: 1 / scale }, /missing in the gradient of k\./],
    [
      'dq and dk without scale',
      { gradQScale: 1 / scale, gradKScale: 1 / scale },
      /missing in the gradient of q and k\./,
    ],
    ['dq scaled twice', { gradQScale: scale }, /applied twice in the gradient of q\./],
    ['no delta', { delta: 'missing' }, /lacks delta/],
  ]
  it.each(mutants)('%s', async (_, mistakes, says) => {
    const wrong = kernel(p, mistakes)
    const candidate = wrong.output.data.every((x, at) => x === right.output.data[at])
      ? { grads: wrong.grads }
      : { output: wrong.output }
    const diagnosis = await diagnosed(body, candidate)
    expect(diagnosis).toEqual([{ says: expect.stringMatching(says), change: null, explains: 1 }])
  })

  it('dk and dv, and k and v, taken for each other', async () => {
    expect(await diagnosed(body, { grads: { ...grads, k: grads.v, v: grads.k } })).toEqual([
      { says: expect.stringMatching(/gradients of k and v/), change: null, explains: 1 },
    ])
    expect(await diagnosed(body, { output: kernel({ ...p, k: v, v: k }).output })).toEqual([
      { says: expect.stringMatching(/^k and v are taken/), change: null, explains: 1 },
    ])
  })

  it('the mask forgotten in the backward pass', async () => {
    const masked = { ...p, mask: causal }
    const wrong = kernel(masked, { backwardMask: 'missing' })
    expect(await diagnosed({ ...body, causal: true }, wrong)).toEqual([
      { says: expect.stringMatching(/not applied in the backward pass/), change: null, explains: 1 },
    ])
  })

  it('polarity of a bool mask, the sign of a float mask', async () => {
    const bool = { shape: [9, 11], dtype: 'bool', data: Array.from({ length: 99 }, (_, at) => at % 3 !== 1) }
    const inverted = kernel({ ...p, mask: (s, _b, _h, i, j) => (bool.data[i * 11 + j] ? NOTHING : s) })
    expect(await diagnosed({ q, k, v, mask: bool }, { output: inverted.output })).toEqual([
      { says: expect.stringMatching(/polarity/), change: null, explains: 1 },
    ])
    const float = draw(3, 9, 11)
    const negated = kernel({ ...p, mask: (s, _b, _h, i, j) => s - float.data[i * 11 + j] })
    expect(await diagnosed({ q, k, v, mask: float }, { output: negated.output })).toEqual([
      { says: expect.stringMatching(/subtracted/), change: null, explains: 1 },
    ])
  })

  it('logsumexp to base 2, and without the maximum', async () => {
    const { shape, data } = right.logsumexp
    const base2 = { shape, data: data.map(x => x * Math.LOG2E) }
    expect(await diagnosed(body, { output: right.output, logsumexp: base2 })).toEqual([
      { says: expect.stringMatching(/to base 2/), change: null, explains: 1 },
    ])
    const { masked_scores } = (await post(server, '/v1/attention', { q, k, v, return: ['masked_scores'] }))
      .body
    const rows: number[][] = masked_scores.flat(2)
    const without = { shape, data: data.map((x, row) => x - Math.max(...rows[row])) }
    expect(await diagnosed(body, { logsumexp: without })).toEqual([
      { says: expect.stringMatching(/maximum is left out/), change: null, explains: 1 },
    ])
  })

  it('dropout without its factor', async () => {
    const dropout = { p: 0.3, seed: 7 }
    const own = await post(server, '/v1/attention', { q, k, v, dropout })
    const scaled = JSON.parse(
      JSON.stringify(own.body.output, (_, x) => (typeof x === 'number' ? x * 0.7 : x)),
    )
    expect(await diagnosed({ q, k, v, dropout }, { output: scaled })).toEqual([
      { says: expect.stringMatching(/1\/\(1 − p\)/), change: null, explains: 1 },
    ])
  })

  it('empty rows that are NaN, or the mean of all values', async () => {
    const tall = problem(33, 11, 9)
    const masked = {
      ...tall,
      mask: (s: number, _b: number, _h: number, i: number, j: number) => (j <= i - 2 ? s : NOTHING),
    }
    const { output } = kernel(masked)
    const body = { q: tall.q, k: tall.k, v: tall.v, causal: 'bottom_right' }
    const filled = (value: (h: number, d: number) => unknown) => ({
      ...output,
      data: output.data.map((x, at) =>
        Math.floor(at / 8) % 11 < 2 ? value(Math.floor(at / 88), at % 8) : x,
      ),
    })
    expect(await diagnosed(body, { output: filled(() => 'NaN') })).toEqual([
      { says: expect.stringMatching(/are NaN/), change: { empty_rows: 'nan' }, explains: 1 },
    ])
    const mean = (h: number, d: number) => {
      const first = Math.floor(h / 2) * 9
      return (
        Array.from({ length: 9 }, (_, j) => tall.v.data[(first + j) * 8 + d]).reduce((x, y) => x + y, 0) / 9
      )
    }
    expect(await diagnosed(body, { output: filled(mean) })).toEqual([
      { says: expect.stringMatching(/mean of all values/), change: { empty_rows: 'uniform' }, explains: 1 },
    ])
  })
})

describe('a mistake of a layer', () => {
  const x = draw(51, 2, 9, 8)
  const stack = { layers: 2, heads: 2, causal: true, window: { left: 3 }, rope: {}, init: { seed: 1 } }
  const layer = { x, heads: 2, causal: true, init: {} }
  const cases: [string, string, Record<string, unknown>, Record<string, unknown>, RegExp][] = [
    ['causal', '/v1/transformer', { x, stack }, { stack: { causal: false } }, /causal mask is not applied/],
    ['window', '/v1/transformer', { x, stack }, { stack: { window: { left: 2 } } }, /one key too narrow/],
    [
      'rope',
      '/v1/transformer',
      { x, stack },
      { stack: { rope: { interleaved: true } } },
      /RoPE rotates neighbours/,
    ],
    ['softcap', '/v1/transformer', { x, stack, softcap: 1 }, { softcap: null }, /softcap is not applied/],
    ['causal', '/v1/multi-head-attention', layer, { causal: false }, /causal mask is not applied/],
    [
      'added',
      '/v1/self-attention',
      { x, init: {} },
      { causal: 'top_left' },
      /that the body does not ask for/,
    ],
  ]
  it.each(cases)('%s of %s', async (_, endpoint, body, change, says) => {
    const { output } = (await post(server, endpoint, merged(body, change))).body
    const { body: report } = await post(server, '/v1/compare', { endpoint, body, candidate: { output } })
    expect([report.detail, report.verdict]).toEqual([undefined, 'fail'])
    expect(report.diagnosis[0]).toEqual({ says: expect.stringMatching(says), change, explains: 1 })
  })
})

describe('honesty', () => {
  const p = problem(41)
  const { q, k, v, gradOutput } = p
  const body = { q, k, v, backward: { grad_output: gradOutput } }

  it('explains what all heads have wrong, not what one has but for where that is, whatever the body is written in', async () => {
    const shape = [2, 4, 9, 8]
    const tensors = {
      q: draw(1, ...shape),
      k: draw(2, 2, 2, 9, 8),
      v: draw(3, 2, 2, 9, 8),
      mask: draw(4, 2, 1, 9, 9),
    }
    const biased = (s: number, b: number, _h: number, i: number, j: number) =>
      s + tensors.mask.data[(b * 9 + i) * 9 + j]
    const closed: typeof biased = (s, b, h, i, j) => causal(biased(s, b, h, i, j), b, h, i, j)
    const wide = (x: number[]) => new Uint8Array(Float64Array.from(x).buffer)
    const right = kernel({ ...tensors, mask: biased }).output.data
    const wrong = kernel({ ...tensors, mask: closed }).output.data
    const rows = 9 * 8
    for (const heads of [[5], [0, 1, 2, 3, 4, 5, 6, 7]]) {
      const data = right.map((x, at) => (heads.includes(Math.floor(at / rows)) ? wrong[at] : x))
      const file: Record<string, FileTensor> = {
        'candidate.output': { dtype: 'F64', shape, data: wide(data) },
      }
      for (const [name, { shape, data }] of Object.entries(tensors)) {
        file[`body.${name}`] = { dtype: 'F64', shape, data: wide(data) }
      }
      const response = await fetch(`${server.url}/v1/compare`, {
        method: 'POST',
        headers: { 'content-type': SAFETENSORS_TYPE },
        body: writeFile(file, { request: JSON.stringify({ endpoint: '/v1/attention' }) }),
      })
      const { diagnosis } = (await response.json()) as { diagnosis: Diagnosis }
      const says = expect.stringMatching(/aligned top left/)
      expect(diagnosis).toEqual(
        heads.length === 8
          ? [{ says, change: { causal: 'top_left' }, explains: 1 }]
          : [{ says: expect.stringMatching(/: head \[1, 1\] of output/), change: null, explains: 1 }],
      )
    }
  })

  it('names nothing where nothing explains it', async () => {
    expect(await diagnosed(body, kernel(p, { lostTail: 1 }))).toEqual([])
    const { output } = kernel(p)
    expect(await diagnosed(body, { output: { ...output, data: output.data.map(x => x * 1.01) } })).toEqual([])
  })

  it('says of two mistakes which share each mends', async () => {
    const { output, grads } = kernel(p, { gradQScale: Math.sqrt(8) })
    const { k: ofK } = kernel(p, { gradKScale: 1 / Math.sqrt(8) }).grads as NonNullable<Results['grads']>
    const diagnosis = await diagnosed(body, { output, grads: { ...grads, k: ofK } })
    expect(diagnosis.map(({ says }) => says).sort()).toEqual([
      expect.stringMatching(/applied twice in the gradient of k\./),
      expect.stringMatching(/missing in the gradient of q\./),
    ])
    for (const { explains } of diagnosis) expect(explains).toBeGreaterThan(0.2)
    expect(diagnosis[0].explains + diagnosis[1].explains).toBeCloseTo(1)
    expect(diagnosis[0].explains).toBeGreaterThanOrEqual(diagnosis[1].explains)
  })

  it.each(['float16', 'bfloat16'])('explains in %s as well, within what it allows', async dtype => {
    const wrong = kernel({ ...p, mask: causal }, {}, dtype)
    expect(await diagnosed(body, wrong, dtype)).toEqual([
      { says: expect.stringMatching(/aligned top left/), change: { causal: 'top_left' }, explains: 1 },
    ])
  })

  it('gives no diagnosis where none is wanted, or nothing fails', async () => {
    const call = { endpoint: '/v1/attention', body: { q, k, v } }
    const wrong = { ...call, candidate: { output: kernel(p, { lostTail: 1 }).output }, diagnose: false }
    expect((await post(server, '/v1/compare', wrong)).body).not.toHaveProperty('diagnosis')
    const right = { ...call, candidate: { output: kernel(p).output } }
    expect((await post(server, '/v1/compare', right)).body).not.toHaveProperty('diagnosis')
  })
})
