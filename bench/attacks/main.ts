/** Small requests of an honest client while somebody attacks, and after it. `ATTACKS=256` runs those whose name has this. */
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { exchange, JSON_TYPE, requestBody } from '../client.ts'
import { percentile, table } from '../report.ts'
import { type Service, startService } from '../service.ts'
import { ATTACKS } from './list.ts'

const ATTACK_MS = 8_000
const AFTER_MS = 2_000
const PAUSE_MS = 5

export async function benchAttacks(): Promise<void> {
  const rows: string[][] = []
  for (const { name, env } of ATTACKS) {
    if (!name.includes(process.env.ATTACKS ?? '')) continue
    const server = await startService('monitored.ts', env)
    const before = await usedBytes(server)
    for (let run = 0; run < 50; run++) await small(server)
    const attacker = new Worker(new URL('attacker.ts', import.meta.url), {
      workerData: { name, url: server.url },
    })
    let during = { times: [] as number[], failed: 0 }
    const delay = await server.loopDelay(async () => {
      during = await watch(server, ATTACK_MS)
    })
    attacker.postMessage('stop')
    const [statuses] = await once(attacker, 'message')
    const after = await watch(server, AFTER_MS)
    const kept = (await usedBytes(server)) - before
    rows.push([
      name,
      ...[50, 99, 100].map(rank => percentile(during.times, rank).toFixed(1)),
      `${during.failed + after.failed} of ${during.times.length + after.times.length}`,
      percentile(after.times, 99).toFixed(1),
      `${delay.p99.toFixed(0)} / ${delay.longest.toFixed(0)}`,
      String(kept),
      server.memory().most.toFixed(0),
      Object.entries(statuses)
        .map(([status, count]) => `${status} ×${count}`)
        .join(', '),
    ])
    await attacker.terminate()
    server.stop()
    console.error(rows.at(-1)?.join(' | '))
  }
  const heads = [
    'attack',
    'p50 ms',
    'p99',
    'longest',
    'failed',
    'p99 after',
    'loop p99 / longest',
    'bytes kept',
  ]
  console.log(table([...heads, 'MB at most', 'answers to the attacker'], rows))
}

const SMALL = requestBody('nested', [1, 1, 8, 16])
const small = ({ url }: Service) => exchange(url, JSON_TYPE, SMALL)

/** Times of small requests, one after the other. */
async function watch(server: Service, ms: number): Promise<{ times: number[]; failed: number }> {
  const times: number[] = []
  let failed = 0
  for (const end = performance.now() + ms; performance.now() < end; ) {
    const started = performance.now()
    await small(server).catch(() => {
      failed++
    })
    times.push(performance.now() - started)
    await new Promise(resolve => setTimeout(resolve, PAUSE_MS))
  }
  return { times, failed }
}

async function usedBytes({ url }: Service): Promise<number> {
  const response = await fetch(`${url}/health/ready`)
  const { memory } = (await response.json()) as { memory: { used_bytes: number } }
  return memory.used_bytes
}
