/** A long context: what one causal forward pass takes beyond the idle process. */
import { exchange, requestBody, SAFETENSORS_TYPE } from './client.ts'
import { table } from './report.ts'
import { startService } from './service.ts'

const SHAPE = [1, 1, 65536, 64]

export async function benchLong(): Promise<void> {
  const server = await startService('../src/main.ts')
  // a first request, so that what is loaded once is not counted
  for (let run = 0; run < 3; run++) {
    await exchange(server.url, SAFETENSORS_TYPE, requestBody('safetensors', [1, 1, 128, 64]))
  }
  const idle = server.memory()
  const body = requestBody('safetensors', SHAPE, { causal: true })
  const rows: string[][] = []
  for (let run = 1; run <= 3; run++) {
    const { ms, bytes } = await exchange(server.url, SAFETENSORS_TYPE, body)
    const { now, most } = server.memory()
    rows.push([
      `[${SHAPE.join(',')}] causal, run ${run}`,
      ...[body.length / 1e6, bytes / 1e6, ms / 1000].map(number => number.toFixed(1)),
      ...[idle.now, most - idle.now, now - idle.now].map(megabytes => megabytes.toFixed(0)),
    ])
  }
  server.stop()
  console.log(
    table(['request', 'MB in', 'MB out', 's', 'idle MB', 'most MB beyond it', 'MB beyond it after'], rows),
  )
}
