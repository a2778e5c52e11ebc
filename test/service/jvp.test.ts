/**
 * `jvp` as clients see it: beside PyTorch's forward mode (test/fixtures/make-jvp-fixtures.py), in every encoding, in plans, and
 * what is wrong with it.
 */
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { readFile, writeFile } from './safetensors-file.ts'
import { attention, post, SAFETENSORS_TYPE, startServer } from './server.ts'

type Nested = number | Nested[]
type Body = Record<string, unknown>

interface Case {
  name: string
  request: Body
  jvp: Record<string, Nested>
}

const { cases }: { cases: Case[] } = JSON.parse(
  readFileSync(new URL('../fixtures/jvp.json', import.meta.url), 'utf8'),
)

const server = await startServer()
const RETURN = ['output', 'weights', 'logsumexp']

const flat = (nested: Nested): number[] => (typeof nested === 'number' ? [nested] : nested.flatMap(flat))

function near(got: Nested, right: Nested, tolerance: number): void {
  const [found, expected] = [flat(got), flat(right)]
  expect(found.length).toBe(expected.length)
  const largest = Math.max(1, ...expected.map(Math.abs))
  const worst = Math.max(...found.map((value, at) => Math.abs(value - expected[at])))
  expect(worst / largest).toBeLessThan(tolerance)
}

describe.each(cases)('PyTorch: $name', ({ request, jvp }) => {
  it.each([
    ['float64', 1e-13],
    ['float32', 2e-6],
  ])('in %s', async (precision, tolerance) => {
    const { status, body } = await attention(server, { ...request, precision, return: RETURN })
    expect(status, JSON.stringify(body)).toBe(200)
    expect(Object.keys(body.jvp)).toEqual(RETURN)
    for (const name of RETURN) near(body.jvp[name], jvp[name], tolerance)
  })
})

const small = {
  q: [[1, 2]],
  k: [
    [1, 0],
    [0.5, 1],
  ],
  v: [[3], [5]],
  jvp: { q: [[0.5, 1]], v: [[1], [2]] },
}

describe('jvp', () => {
  it('answers the tangents of those results that are asked for, by default of the output', async () => {
    const { body } = await attention(server, small)
    expect(Object.keys(body)).toEqual(['output', 'jvp'])
    expect(Object.keys(body.jvp)).toEqual(['output'])
    const both = await attention(server, {
      ...small,
      return: ['logsumexp', 'scores'],
      backward: { grad_output: [[1]] },
    })
    expect(Object.keys(both.body)).toEqual(['logsumexp', 'scores', 'jvp', 'grads'])
    expect(Object.keys(both.body.jvp)).toEqual(['logsumexp'])
    expect(Object.keys(both.body.grads)).toEqual(['q', 'k', 'v'])
  })

  it('comes and goes as safetensors and as base64, with the same numbers', async () => {
    const request = { precision: 'float64', return: RETURN }
    const { body: expected } = await attention(server, { ...small, ...request })
    const tensor = (rows: number[][]) => {
      const data = new Uint8Array(Float64Array.from(rows.flat()).buffer)
      return { dtype: 'F64', shape: [rows.length, rows[0].length], data }
    }
    const { q, k, v, jvp } = small
    const tensors = { q, k, v, 'jvp.q': jvp.q, 'jvp.v': jvp.v }
    const file = writeFile(
      Object.fromEntries(Object.entries(tensors).map(([name, rows]) => [name, tensor(rows)])),
      { request: JSON.stringify(request) },
    )
    const response = await fetch(`${server.url}/v1/attention`, {
      method: 'POST',
      headers: { 'content-type': SAFETENSORS_TYPE, accept: SAFETENSORS_TYPE },
      body: file,
    })
    expect(response.status).toBe(200)
    const found = readFile(Buffer.from(await response.arrayBuffer())).tensors
    const numbers = (data: Uint8Array) => Array.from(new Float64Array(new Uint8Array(data).buffer))
    expect(Object.keys(found).sort()).toEqual([...RETURN, ...RETURN.map(name => `jvp.${name}`)].sort())
    for (const name of RETURN) expect(numbers(found[`jvp.${name}`].data)).toEqual(flat(expected.jvp[name]))

    const packed = (rows: number[][]) => ({
      shape: [rows.length, rows[0].length],
      dtype: 'float64',
      base64: Buffer.from(tensor(rows).data).toString('base64'),
    })
    const coded = { q: packed(q), k: packed(k), v: packed(v), jvp: { q: packed(jvp.q), v: packed(jvp.v) } }
    const { body } = await attention(server, { ...coded, ...request, encoding: 'base64' })
    for (const name of RETURN) {
      const bytes = new Uint8Array(Buffer.from(body.jvp[name].base64, 'base64'))
      expect(numbers(bytes)).toEqual(flat(expected.jvp[name]))
    }
  })

  it('is planned: shapes, and more work than without it', async () => {
    const tensor = { shape: [2, 4, 100, 16] }
    const request = { q: tensor, k: tensor, v: tensor, return: RETURN }
    const planOf = async (more: Body) => {
      const { status, body } = await post(server, '/v1/plan', {
        endpoint: '/v1/attention',
        body: { ...request, ...more },
      })
      expect(status, JSON.stringify(body)).toBe(200)
      return body
    }
    const [without, withJvp] = [await planOf({}), await planOf({ jvp: { q: tensor, k: tensor, v: tensor } })]
    expect(withJvp.shapes).toMatchObject({
      'jvp.output': [2, 4, 100, 16],
      'jvp.weights': [2, 4, 100, 100],
      'jvp.logsumexp': [2, 4, 100],
    })
    // beside the forward pass: three products for a score and its tangent, two for values
    const products = 2 * 8 * 100 * 100 * 16
    expect(withJvp.flops - without.flops).toBe(5 * products)
    expect(withJvp.bytes).toBeGreaterThan(without.bytes)
    expect(withJvp.seconds).toBeGreaterThan(without.seconds)
    expect(withJvp.admitted).toBe(true)
  })

  it('is planned to take bytes that grow with the rows, not with the pairs', async () => {
    const bytesOf = async (rows: number) => {
      const tensor = { shape: [1, 2, rows, 16] }
      const tensors = { q: tensor, k: tensor, v: tensor }
      const body = { ...tensors, jvp: tensors, return: ['output', 'logsumexp'] }
      return (await post(server, '/v1/plan', { endpoint: '/v1/attention', body })).body.bytes as number
    }
    // pairs would make it four times
    expect((await bytesOf(65536)) / (await bytesOf(32768))).toBeLessThan(2.1)
  })
})

describe('what is wrong with jvp', () => {
  const { jvp, ...plain } = small

  it.each<[string, Body, string[], string]>([
    ['no tangent', { jvp: {} }, ['/jvp'], 'expected at least one of q, k, v, mask and sinks, got none'],
    ['a shape', { jvp: { q: [[1, 2, 3]] } }, ['/jvp/q'], 'expected [1, 2], got [1, 3]'],
    ['a rank', { jvp: { k: [1, 2] } }, ['/jvp/k'], 'expected [2, 2], got [2]'],
    ['another name', { jvp: { q: [[1, 2]], past_k: [[1, 2]] } }, ['/jvp/past_k'], 'past_k'],
    [
      'of a mask that is none',
      { jvp: { mask: [[1, 2]] } },
      ['/jvp/mask', '/mask'],
      'expected a float mask beside its tangent, got none',
    ],
    [
      'of a bool mask',
      { mask: [[true, false]], jvp: { mask: [[1, 2]] } },
      ['/jvp/mask', '/mask'],
      'expected a float mask beside its tangent, got a bool mask',
    ],
    [
      'of sinks that are none',
      { jvp: { sinks: [1] } },
      ['/jvp/sinks', '/sinks'],
      'expected sinks beside their tangent, got none',
    ],
    ['a mask’s shape', { mask: [[1, 2]], jvp: { mask: [1, 2] } }, ['/jvp/mask'], 'expected [1, 2], got [2]'],
    ['the sinks’ shape', { sinks: [1], jvp: { sinks: [1, 2] } }, ['/jvp/sinks'], 'expected [1], got [2]'],
    [
      'nothing to answer',
      { jvp, return: ['entropy'] },
      ['/jvp', '/return'],
      'expected one of output, weights, logsumexp in return',
    ],
    [
      'linear attention',
      { jvp, attention_kind: 'linear' },
      ['/jvp', '/attention_kind'],
      'softmax, local, block',
    ],
    ['lsh', { jvp, attention_kind: { kind: 'lsh' } }, ['/jvp', '/attention_kind'], 'got "lsh"'],
    ['delta', { jvp, attention_kind: 'delta' }, ['/jvp', '/attention_kind'], 'got "delta"'],
    ['strided', { jvp, attention_kind: 'strided' }, ['/jvp', '/attention_kind'], 'got "strided"'],
    ['a NaN', { jvp: { q: [['NaN', 1]] } }, ['/jvp/q/0/0'], 'NaN'],
    ['no numbers', { jvp: { q: [['x', 1]] } }, ['/jvp/q/0/0'], 'x'],
  ])('%s', async (_name, more, paths, message) => {
    const { status, body } = await attention(server, { ...plain, ...more })
    expect(status).toBe(400)
    expect(body.errors.map(({ path }: { path: string }) => path)).toEqual(paths)
    expect(JSON.stringify(body)).toContain(message.replaceAll('"', '\\"'))
    expect((await attention(server, small)).status).toBe(200)
  })

  it.each([
    ['/v1/self-attention', { x: [[1, 2]], init: {} }],
    ['/v1/multi-head-attention', { x: [[1, 2]], heads: 1, init: {} }],
    ['/v1/transformer', { x: [[[1, 2]]], stack: { layers: 1, heads: 1, init: {} } }],
  ])('%s has none', async (path, body) => {
    const { status, body: problem } = await post(server, path, { ...body, jvp })
    expect(status).toBe(400)
    expect(problem.errors.map(({ path }: { path: string }) => path)).toContain('/jvp')
  })
})
