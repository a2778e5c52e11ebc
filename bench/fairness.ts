/** All cores for one request, and fairness for many. */
import { exchange, JSON_TYPE, requestBody, SAFETENSORS_TYPE } from './client.ts'
import { median, percentile, table } from './report.ts'
import { startService } from './service.ts'

const LONG = [1, 8, 32768, 64]
const SMALL = [1, 1, 8, 16]
const PAUSE_MS = 10
const WATCHED_MS = 15_000

export async function benchFairness(): Promise<void> {
  await beside()
  await split()
}

/** Small requests, one after the other, while jobs of 32k tokens run. */
async function beside(): Promise<void> {
  const rows: string[][] = []
  const small = requestBody('nested', SMALL)
  for (const [name, jobs, causal] of [
    ['nothing', 0, false],
    ['1 job', 1, false],
    ['1 causal job', 1, true],
    ['3 jobs', 3, false],
  ] as const) {
    const server = await startService('../src/main.ts', { DEADLINE_SECONDS: '900', QUEUE_SECONDS: '900' })
    for (let run = 0; run < 50; run++) await exchange(server.url, JSON_TYPE, small)
    const long = requestBody('safetensors', LONG, { causal })
    for (let job = 0; job < jobs; job++) {
      // they are still running when the server is stopped
      exchange(server.url, SAFETENSORS_TYPE, long).catch(() => {})
    }
    await new Promise(resolve => setTimeout(resolve, 1000))
    const times: number[] = []
    for (const end = performance.now() + WATCHED_MS; performance.now() < end; ) {
      times.push((await exchange(server.url, JSON_TYPE, small)).ms)
      await new Promise(resolve => setTimeout(resolve, PAUSE_MS))
    }
    server.stop()
    rows.push([
      name,
      String(times.length),
      ...[50, 90, 99, 100].map(rank => percentile(times, rank).toFixed(1)),
    ])
  }
  console.log(table([`[${LONG.join(',')}]`, 'small requests', 'p50 ms', 'p90', 'p99', 'longest'], rows))
}

/** One request on one worker and on two, in turn. */
async function split(): Promise<void> {
  const rows: string[][] = []
  const servers = await Promise.all(['1', '2'].map(THREADS => startService('../src/main.ts', { THREADS })))
  for (const causal of [false, true]) {
    const body = requestBody('safetensors', [1, 8, 2048, 64], { causal })
    const times: number[][] = [[], []]
    for (let run = -2; run < 15; run++) {
      for (const [index, { url }] of servers.entries()) {
        const { timing } = await exchange(url, SAFETENSORS_TYPE, body)
        if (run >= 0) times[index].push(Number(/compute;dur=([\d.]+)/.exec(timing)?.[1]))
      }
    }
    const [one, two] = times.map(median)
    const [bestOne, bestTwo] = times.map(list => Math.min(...list))
    rows.push([
      `[1,8,2048,64]${causal ? ' causal' : ''}`,
      ...[one, two, two / one, bestTwo / bestOne].map(number => number.toFixed(2)),
    ])
  }
  for (const server of servers) server.stop()
  console.log(table(['forward', '1 worker ms', '2 workers ms', 'ratio', 'ratio of the best runs'], rows))
}
