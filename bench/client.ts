/** Requests over loopback: bodies of any size in any encoding, sent over kept connections, timed to the last byte. */
import { Agent, request } from 'node:http'
import { float32, writeFile } from '../test/service/safetensors-file.ts'

export const JSON_TYPE = 'application/json'
export const SAFETENSORS_TYPE = 'application/x-safetensors'
export const FORMATS = ['safetensors', 'base64', 'nested'] as const
export type Format = (typeof FORMATS)[number]

const agent = new Agent({ keepAlive: true })

export interface Exchange {
  ms: number
  /** the answer's Server-Timing */
  timing: string
  bytes: number
}

/** One request over a connection that is kept; the time until the answer's last byte. */
export function exchange(url: string, type: string, body: Buffer, accept = type): Promise<Exchange> {
  const { promise, resolve, reject } = Promise.withResolvers<Exchange>()
  const headers = { 'content-type': type, accept, 'content-length': body.length }
  const started = performance.now()
  const outgoing = request(`${url}/v1/attention`, { method: 'POST', agent, headers }, answer => {
    let bytes = 0
    answer.on('data', data => {
      bytes += data.length
    })
    answer.on('end', () => {
      if (answer.statusCode !== 200) {
        reject(new Error(`${answer.statusCode} for ${body.length} bytes of ${type}`))
        return
      }
      const timing = String(answer.headers['server-timing'])
      resolve({ ms: performance.now() - started, timing, bytes })
    })
  })
  outgoing.on('error', reject)
  outgoing.end(body)
  return promise
}

/** The body of a forward (and backward) request in one format. */
export function requestBody(
  format: Format,
  shape: number[],
  more: { backward?: boolean; causal?: boolean } = {},
): Buffer<ArrayBuffer> {
  const count = shape.reduce((product, extent) => product * extent, 1)
  const [q, k, v, target] = [1, 2, 3, 4].map(seed => random(count, seed))
  const options = more.causal === undefined ? {} : { causal: more.causal }
  if (format === 'safetensors') {
    const tensors = { q: float32(q, shape), k: float32(k, shape), v: float32(v, shape) }
    return writeFile(more.backward ? { ...tensors, 'backward.target': float32(target, shape) } : tensors, {
      request: JSON.stringify(options),
    })
  }
  const tensor = (data: Float32Array) =>
    format === 'nested'
      ? nested(data, shape)
      : { shape, dtype: 'float32', base64: Buffer.from(data.buffer).toString('base64') }
  const body = {
    q: tensor(q),
    k: tensor(k),
    v: tensor(v),
    ...(more.backward && { backward: { target: tensor(target) } }),
  }
  return Buffer.from(JSON.stringify({ ...body, ...options, encoding: format }))
}

function random(count: number, seed: number): Float32Array {
  return Float32Array.from({ length: count }, (_, i) => Math.sin(seed + 1.3 * i * i))
}

function nested(data: Float32Array, shape: number[]): unknown {
  if (shape.length === 1) return Array.from(data)
  const size = data.length / shape[0]
  return Array.from({ length: shape[0] }, (_, i) =>
    nested(data.subarray(i * size, (i + 1) * size), shape.slice(1)),
  )
}
