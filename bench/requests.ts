/**
 * Whole requests over loopback, by encoding and size: end-to-end time at the client beside what Server-Timing says, and
 * the rate of small ones beside a bare Fastify route that echoes the same body.
 */
import autocannon from 'autocannon'
import { exchange, FORMATS, type Format, JSON_TYPE, requestBody, SAFETENSORS_TYPE } from './client.ts'
import { median, table } from './report.ts'
import { startService } from './service.ts'

const SHAPES = [
  [1, 1, 8, 16],
  [1, 8, 128, 64],
  [1, 8, 512, 64],
  [1, 8, 1024, 64],
]

async function measure(url: string, format: Format, shape: number[], backward: boolean, runs: number) {
  const body = requestBody(format, shape, { backward })
  const type = format === 'safetensors' ? SAFETENSORS_TYPE : JSON_TYPE
  const total: number[] = []
  const compute: number[] = []
  for (let run = -2; run < runs; run++) {
    const { ms, timing } = await exchange(url, type, body)
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
    const body = requestBody('nested', shape)
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
