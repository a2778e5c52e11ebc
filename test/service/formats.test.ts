import { describe, expect, it } from 'vitest'
import { float32, readFile, values, writeFile } from './safetensors-file.ts'
import { attention, JSON_TYPE, SAFETENSORS_TYPE, settled, startServer } from './server.ts'

const server = await startServer()
const before = server.app.engine.arena.usedBytes
const random = (count: number, seed: number) =>
  Float32Array.from({ length: count }, (_, i) => Math.sin(seed + 1.7 * i * i))

const shape = [1, 2, 5, 4]
const [q, k, v, target] = [1, 2, 3, 4].map(seed => random(40, seed))
const flat = (data: Float32Array) => ({ shape, data: [...data] })
const options = { causal: true, return: ['output', 'weights'] }

async function binary(file: Buffer<ArrayBuffer>, accept: string): Promise<Response> {
  const headers = { 'content-type': SAFETENSORS_TYPE, accept }
  return fetch(`${server.url}/v1/attention`, { method: 'POST', headers, body: file })
}

function requestFile(more: object = {}): Buffer<ArrayBuffer> {
  const tensors = {
    q: float32(q, shape),
    k: float32(k, shape),
    v: float32(v, shape),
    'backward.target': float32(target, shape),
  }
  return writeFile(tensors, { request: JSON.stringify({ ...options, ...more }) })
}

const json = await attention(server, {
  q: flat(q),
  k: flat(k),
  v: flat(v),
  ...options,
  encoding: 'flat',
  backward: { target: flat(target) },
})

describe('every way in and out gives the same numbers', () => {
  it('safetensors in and out', async () => {
    const response = await binary(requestFile(), SAFETENSORS_TYPE)
    expect(response.headers.get('content-type')).toBe(SAFETENSORS_TYPE)
    const { tensors, response: rest } = readFile(Buffer.from(await response.arrayBuffer()))
    expect(Object.keys(tensors)).toEqual(['output', 'weights', 'grads.q', 'grads.k', 'grads.v'])
    expect(rest).toEqual({ loss: json.body.loss })
    expect(values(tensors.output)).toEqual(json.body.output.data.map(Math.fround))
    expect(values(tensors['grads.k'])).toEqual(json.body.grads.k.data.map(Math.fround))
    expect(tensors.weights.shape).toEqual([1, 2, 5, 5])
  })

  it('safetensors in, JSON out, and the reverse', async () => {
    const out = await (await binary(requestFile({ encoding: 'flat' }), JSON_TYPE)).json()
    expect(out).toEqual(json.body)
    const response = await fetch(`${server.url}/v1/attention`, {
      method: 'POST',
      headers: { 'content-type': JSON_TYPE, accept: SAFETENSORS_TYPE },
      body: JSON.stringify({ q: flat(q), k: flat(k), v: flat(v), causal: true, output_dtype: 'float64' }),
    })
    const { tensors } = readFile(Buffer.from(await response.arrayBuffer()))
    expect(tensors.output.dtype).toBe('F64')
    expect(values(tensors.output)).toEqual(json.body.output.data.map((x: number) => Math.fround(x)))
  })

  it.each(['float64', 'float32', 'float16', 'bfloat16'] as const)('base64 of %s', async dtype => {
    const quarter = (x: number) => Math.round(x * 4) / 4 // exact in every type
    const encode = (data: Float32Array) => {
      const bytes = { float64: 8, float32: 4, float16: 2, bfloat16: 2 }[dtype]
      const view = new DataView(new ArrayBuffer(data.length * bytes))
      for (const [i, x] of data.entries()) {
        if (dtype === 'float64') view.setFloat64(8 * i, quarter(x), true)
        else if (dtype === 'float32') view.setFloat32(4 * i, quarter(x), true)
        else if (dtype === 'float16') view.setFloat16(2 * i, quarter(x), true)
        else {
          const word = new DataView(new ArrayBuffer(4))
          word.setFloat32(0, quarter(x))
          view.setUint16(2 * i, word.getUint16(0), true)
        }
      }
      return { shape, dtype, base64: Buffer.from(view.buffer).toString('base64') }
    }
    const plain = (data: Float32Array) => ({ shape, data: [...data].map(quarter) })
    const one = await attention(server, { q: encode(q), k: encode(k), v: encode(v), encoding: 'flat' })
    const two = await attention(server, { q: plain(q), k: plain(k), v: plain(v), encoding: 'flat' })
    expect(one.status).toBe(200)
    expect(one.body).toEqual(two.body)
  })

  it('base64 whose slashes are escaped', async () => {
    const tensor = {
      shape: [1, 3],
      dtype: 'float32',
      base64: Buffer.from(new Float32Array([-1, -2, 0.1]).buffer).toString('base64'),
    }
    const bytes = {
      shape: [1, 3],
      dtype: 'float32',
      base64: Buffer.from([255, 255, 127, 63, 255, 255, 127, 63, 255, 255, 127, 63]).toString('base64'),
    }
    expect(bytes.base64).toContain('/')
    const text = JSON.stringify({ q: tensor, k: tensor, v: bytes }).replaceAll('/', '\\/')
    const { status, body } = await attention(server, text as unknown)
    expect(status).toBe(200)
    expect(body.output[0][0]).toBe(0.99999994)
  })

  it('nested, flat and base64 answers', async () => {
    const request = { q: flat(q), k: flat(k), v: flat(v) }
    const nested = (await attention(server, request)).body.output
    const base64 = (await attention(server, { ...request, encoding: 'base64' })).body.output
    const decoded = new Float32Array(Uint8Array.from(Buffer.from(base64.base64, 'base64')).buffer)
    expect(nested.flat(3).map(Math.fround)).toEqual([...decoded])
    expect([nested.length, nested[0].length, nested[0][0].length, nested[0][0][0].length]).toEqual(shape)
  })

  it('a bool mask in safetensors and in JSON', async () => {
    const mask = Array.from({ length: 25 }, (_, i) => i % 3 !== 0)
    const file = writeFile(
      {
        q: float32(q, shape),
        k: float32(k, shape),
        v: float32(v, shape),
        mask: { dtype: 'BOOL', shape: [5, 5], data: Uint8Array.from(mask, Number) },
      },
      { request: '{"encoding":"flat"}' },
    )
    const inFile = await (await binary(file, JSON_TYPE)).json()
    const request = { q: flat(q), k: flat(k), v: flat(v), encoding: 'flat' }
    expect((await attention(server, { ...request, mask: { shape: [5, 5], data: mask } })).body).toEqual(
      inFile,
    )
    expect(
      (
        await attention(server, {
          ...request,
          mask: { shape: [5, 5], dtype: 'bool', data: mask.map(Number) },
        })
      ).body,
    ).toEqual(inFile)
  })
})

describe('large bodies and answers', () => {
  const big = [1, 2, 520, 65]
  const size = big.reduce((a, b) => a * b, 1)
  const tensors = [5, 6, 7].map(seed => random(size, seed))

  it('JSON both ways is cut, and gives what safetensors gives', async () => {
    const [a, b, c] = tensors.map(data => ({ shape: big, data: [...data] }))
    const { body } = await attention(server, { q: a, k: b, v: c, return: ['weights', 'output'] })
    const file = writeFile(
      { q: float32(tensors[0], big), k: float32(tensors[1], big), v: float32(tensors[2], big) },
      { request: '{"return":["weights","output"]}' },
    )
    const answer = readFile(Buffer.from(await (await binary(file, SAFETENSORS_TYPE)).arrayBuffer()))
    expect(body.weights.flat(3).map(Math.fround)).toEqual(values(answer.tensors.weights))
    expect(body.output.flat(3).map(Math.fround)).toEqual(values(answer.tensors.output))
    const base64 = await attention(server, { q: a, k: b, v: c, return: ['weights'], encoding: 'base64' })
    expect(Buffer.from(base64.body.weights.base64, 'base64').equals(answer.tensors.weights.data)).toBe(true)
  })

  it('that are written while they leave: Server-Timing has the first text, the log all of it', async () => {
    const [a, b, c] = tensors.map(data => ({ shape: big, data: [...data] }))
    server.log.length = 0
    const { headers } = await attention(server, { q: a, k: b, v: c, return: ['weights'] })
    const encode = (text: string | null) => Number(/encode;dur=([\d.]+)/.exec(text ?? '')?.[1])
    const first = encode(headers.get('server-timing'))
    expect(first).toBeGreaterThan(0)
    await expect.poll(() => server.log.length).toBeGreaterThan(0)
    expect(encode(JSON.parse(server.log[0]).timings)).toBeGreaterThan(first)
  })

  it('come in chunks without a length too', async () => {
    const file = writeFile(
      { q: float32(tensors[0], big), k: float32(tensors[1], big), v: float32(tensors[2], big) },
      {},
    )
    const chunks = new ReadableStream({
      start(controller) {
        for (let at = 0; at < file.length; at += 50_000) controller.enqueue(file.subarray(at, at + 50_000))
        controller.close()
      },
    })
    const response = await fetch(`${server.url}/v1/attention`, {
      method: 'POST',
      headers: { 'content-type': SAFETENSORS_TYPE, accept: SAFETENSORS_TYPE },
      body: chunks,
      duplex: 'half',
    } as RequestInit)
    expect(response.status).toBe(200)
    const length = Number(response.headers.get('content-length'))
    expect((await response.arrayBuffer()).byteLength).toBe(length)
  })
})

it('leaves no memory behind', async () => {
  expect(await settled(server, before)).toBe(before)
})
