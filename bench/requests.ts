/**
 * Whole requests over loopback, by encoding and size: end-to-end time at the client beside what Server-Timing says, and
 * the rate of small ones beside a bare Fastify route that echoes the same body.
 */
import { Agent, request } from 'node:http'
import autocannon from 'autocannon'
import { float32, writeFile } from '../test/service/safetensors-file.ts'
import { median, table } from './report.ts'
import { startService } from './service.ts'

const JSON_TYPE = 'application/json'
const SAFETENSORS_TYPE = 'application/x-safetensors'
const FORMATS = ['safetensors', 'base64', 'nested'] as const
type Format = (typeof FORMATS)[number]

const SHAPES = [
  [1, 1, 8, 16],
  [1, 8, 128, 64],
  [1, 8, 512, 64],
  [1, 8, 1024, 64],
]

const agent = new Agent({ keepAlive: true })

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

/** The body of a forward (and backward) request in one format. */
export function requestBody(format: Format, shape: number[], backward: boolean): Buffer<ArrayBuffer> {
  const count = shape.reduce((product, extent) => product * extent, 1)
  const [q, k, v, target] = [1, 2, 3, 4].map(seed => random(count, seed))
  if (format === 'safetensors') {
    const tensors = { q: float32(q, shape), k: float32(k, shape), v: float32(v, shape) }
    return writeFile(backward ? { ...tensors, 'backward.target': float32(target, shape) } : tensors, {
      request: '{}',
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
    ...(backward && { backward: { target: tensor(target) } }),
  }
  return Buffer.from(JSON.stringify({ ...body, encoding: format }))
}

/** One request over a connection that is kept; the time until the answer's last byte. */
function exchange(
  url: string,
  type: string,
  body: Buffer,
): Promise<{ status: number; ms: number; timing: string }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; ms: number; timing: string }>()
  const headers = { 'content-type': type, accept: type, 'content-length': body.length }
  const started = performance.now()
  const outgoing = request(url, { method: 'POST', agent, headers }, answer => {
    answer.on('data', () => {})
    answer.on('end', () => {
      const timing = String(answer.headers['server-timing'])
      resolve({ status: answer.statusCode ?? 0, ms: performance.now() - started, timing })
    })
  })
  outgoing.on('error', reject)
  outgoing.end(body)
  return promise
}

async function measure(url: string, format: Format, shape: number[], backward: boolean, runs: number) {
  const body = requestBody(format, shape, backward)
  const type = format === 'safetensors' ? SAFETENSORS_TYPE : JSON_TYPE
  const total: number[] = []
  const compute: number[] = []
  for (let run = -2; run < runs; run++) {
    const { status, ms, timing } = await exchange(`${url}/v1/attention`, type, body)
    if (status !== 200) throw new Error(`${status} for ${format} [${shape}]`)
    if (run < 0) continue
    total.push(ms)
    compute.push(Number(/compute;dur=([\d.]+)/.exec(timing)?.[1]))
  }
  return { bytes: body.length, ms: median(total), compute: median(compute) }
}

export async function benchRequests(): Promise<void> {
  const server = await startService('../src/main.ts')
  const rows: string[][] = []
  for (const backward of [false, true]) {
    for (const shape of SHAPES) {
      for (const format of FORMATS) {
        const runs = shape[2] < 512 ? 60 : 25
        const { bytes, ms, compute } = await measure(server.url, format, shape, backward, runs)
        const name = `[${shape.join(',')}] ${backward ? 'forward + backward' : 'forward'}`
        rows.push([
          name,
          format,
          (bytes / 1e6).toFixed(2),
          ms.toFixed(2),
          compute.toFixed(2),
          (ms / compute).toFixed(2),
        ])
      }
    }
  }
  server.stop()
  console.log(table(['request', 'encoding', 'MB in', 'end to end ms', 'kernels ms', 'ratio'], rows))
}

async function rate(url: string, body: Buffer, connections: number): Promise<number> {
  const result = await autocannon({
    url: `${url}/v1/attention`,
    method: 'POST',
    headers: { 'content-type': JSON_TYPE },
    body,
    connections,
    duration: 3,
  })
  if (result.non2xx > 0) throw new Error(`${result.non2xx} answers were no 2xx`)
  return result.requests.average
}

/** Small requests a second, beside the echo, in turn and several times. */
export async function benchSmall(): Promise<void> {
  const server = await startService('../src/main.ts', {
    LOG_LEVEL: 'silent' === process.env.LOG_LEVEL ? 'silent' : 'info',
  })
  const echo = await startService('./echo.ts')
  const rows: string[][] = []
  for (const shape of [[1, 1, 8, 16]]) {
    const body = requestBody('nested', shape, false)
    await rate(server.url, body, 8)
    await rate(echo.url, body, 8)
    for (const connections of [1, 8, 32]) {
      const rates = [0, 1, 2].map(() => ({ ours: 0, echo: 0 }))
      for (const each of rates) {
        each.ours = await rate(server.url, body, connections)
        each.echo = await rate(echo.url, body, connections)
      }
      const [ours, theirs] = [median(rates.map(r => r.ours)), median(rates.map(r => r.echo))]
      const ratio = median(rates.map(r => r.ours / r.echo))
      rows.push([
        `[${shape.join(',')}] JSON`,
        String(connections),
        ours.toFixed(0),
        theirs.toFixed(0),
        ratio.toFixed(2),
      ])
    }
  }
  server.stop()
  echo.stop()
  console.log(table(['request', 'connections', 'requests/s', 'echo requests/s', 'ratio'], rows))
}
