/** Approximations over HTTP: what is marked, in both formats; what is refused; what a plan says. */
import { describe, expect, it } from 'vitest'
import { float32, readFile, writeFile } from './safetensors-file.ts'
import { attention, post, SAFETENSORS_TYPE, startServer } from './server.ts'

const server = await startServer()

const rows = (count: number, dim: number, seed: number) =>
  Array.from({ length: count }, (_, i) =>
    Array.from({ length: dim }, (_, d) => Math.sin(seed + i * 7 + d * d)),
  )
const inputs = { q: rows(20, 4, 1), k: rows(30, 4, 2), v: rows(30, 3, 3) }

describe('an approximation', () => {
  it.each(['linear', 'lsh', 'local', 'strided', 'block'])('%s is marked and compared', async kind => {
    const request = { ...inputs, attention_kind: kind, compare_exact: true, causal: 'bottom_right' }
    const { status, body } = await attention(server, request)
    expect(status).toBe(200)
    expect(body.approximation).toBe(kind)
    expect(Object.keys(body.exact_error)).toEqual(['max_abs', 'rms', 'relative'])
    expect(body.output).toHaveLength(20)
  })

  it('says so in safetensors too', async () => {
    const flat = (x: number[][]) => float32(Float32Array.from(x.flat()), [x.length, x[0].length])
    const file = writeFile(
      { q: flat(inputs.q), k: flat(inputs.k), v: flat(inputs.v) },
      { request: JSON.stringify({ attention_kind: { kind: 'block', size: 8 }, compare_exact: true }) },
    )
    const response = await fetch(`${server.url}/v1/attention`, {
      method: 'POST',
      headers: { 'content-type': SAFETENSORS_TYPE, accept: SAFETENSORS_TYPE },
      body: file,
    })
    const { response: rest } = readFile(Buffer.from(await response.arrayBuffer()))
    expect(rest).toMatchObject({ approximation: 'block', exact_error: { relative: expect.any(Number) } })
  })

  it('is softmax unless asked for, and then is not marked', async () => {
    const { body } = await attention(server, { ...inputs, attention_kind: 'softmax' })
    expect(Object.keys(body)).toEqual(['output'])
  })
})

describe('a kind that cannot be', () => {
  it.each<[unknown, string, RegExp]>([
    ['sparse', '/attention_kind', /expected one of "softmax", "linear"/],
    [{ kind: 'lsh', buckets: 3 }, '/attention_kind/buckets', /expected 1 or an even number/],
    [{ kind: 'lsh', chunk: 0 }, '/attention_kind/chunk', /expected a number of at least 1/],
    [{ kind: 'strided', stride: 1.5 }, '/attention_kind/stride', /expected an integer/],
    [{ kind: 'local', size: 3 }, '/attention_kind/size', /expected no such field/],
  ])('%j', async (attention_kind, path, message) => {
    const { status, body } = await attention(server, { ...inputs, attention_kind })
    expect(status).toBe(400)
    expect(body.errors[0].path).toBe(path)
    expect(body.errors[0].message).toMatch(message)
  })

  it('names the option that means nothing beside it', async () => {
    const { status, body } = await attention(server, { ...inputs, attention_kind: 'linear', softcap: 3 })
    expect(status).toBe(400)
    expect(body.errors).toEqual([
      { path: '/softcap', message: 'expected none beside "attention_kind":"linear", got one' },
    ])
  })
})

it('a plan reckons what an approximation saves, and what a comparison costs', async () => {
  const shape = [1, 4, 8192, 64]
  const flops = async (more: object) => {
    const body = { q: { shape }, k: { shape }, v: { shape }, ...more }
    const { status, body: plan } = await post(server, '/v1/plan', { endpoint: '/v1/attention', body })
    expect(status).toBe(200)
    return plan.flops as number
  }
  const exact = await flops({})
  for (const attention_kind of ['linear', 'lsh', 'local', 'strided', 'block']) {
    const own = await flops({ attention_kind })
    expect(own, attention_kind).toBeLessThan(exact / 8)
    const compared = await flops({ attention_kind, compare_exact: true })
    expect(compared).toBeGreaterThan(exact + own * 0.99)
    expect(compared).toBeLessThan((exact + own) * 1.01)
  }
})
