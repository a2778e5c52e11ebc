/** Large JSON bodies: how long they hold the server's event loop, and what small requests notice of them. */
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { exchange, JSON_TYPE, requestBody } from './client.ts'
import type { LoopDelay } from './monitored.ts'
import { percentile, table } from './report.ts'
import { type Service, startService } from './service.ts'

/** 64 MB of nested JSON: 3·8·2112·64 numbers of 20 bytes. */
const SHAPE = [1, 8, 2112, 64]
const SMALL = { shape: [1, 1, 8, 16], pauseMs: 5 }
const AT_ONCE = [0, 1, 2, 4]
const ROUNDS = 4

export async function benchJson(): Promise<void> {
  const server = await startService('./monitored.ts', { MEMORY_BYTES: String(3 * 2 ** 30) })
  const body = requestBody('nested', SHAPE)
  await exchange(server.url, JSON_TYPE, body)
  const rows: string[][] = []
  for (const atOnce of AT_ONCE) {
    const { large, small, delay } = await together(server, body, atOnce)
    rows.push([
      atOnce === 0 ? 'none' : `${atOnce} at a time`,
      atOnce === 0 ? '-' : percentile(large, 50).toFixed(0),
      ...[delay.p50, delay.p99, delay.longest, delay.cpuP99, delay.cpuLongest].map(ms => ms.toFixed(1)),
      ...[50, 99].map(rank => percentile(small, rank).toFixed(1)),
    ])
  }
  server.stop()
  const loop = ['loop held, p50 ms', 'p99', 'longest', 'of CPU time, p99', 'longest']
  const head = [`bodies of ${(body.length / 1e6).toFixed(0)} MB`, 'ms each', ...loop]
  console.log(table([...head, 'small request, p50 ms', 'p99'], rows))
}

/** Several large bodies at once, several times, beside a stream of small ones. */
async function together(
  server: Service,
  body: Buffer,
  atOnce: number,
): Promise<{ large: number[]; small: number[]; delay: LoopDelay }> {
  const large: number[] = []
  const stream = new Worker(new URL('./small-stream.ts', import.meta.url), {
    workerData: { url: server.url, ...SMALL },
  })
  await new Promise(resolve => setTimeout(resolve, 1000))
  const connection = async () => {
    for (let round = 0; round < ROUNDS; round++) {
      large.push((await exchange(server.url, JSON_TYPE, body)).ms)
    }
  }
  const delay = await server.loopDelay(async () => {
    if (atOnce === 0) await new Promise(resolve => setTimeout(resolve, 2000))
    await Promise.all(Array.from({ length: atOnce }, connection))
  })
  const told = once(stream, 'message')
  stream.postMessage('stop')
  const [small] = await told
  return { large, small, delay }
}
