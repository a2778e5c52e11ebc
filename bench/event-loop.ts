/** How long the event loop is held while a server is attacked (event-loop-attacks.ts), and how long small requests beside that take. */
import { setTimeout as delay } from 'node:timers/promises'
import { exchange, JSON_TYPE, requestBody } from './client.ts'
import { ATTACKS, type Attack } from './event-loop-attacks.ts'
import { percentile, table } from './report.ts'
import { startService } from './service.ts'

const WATCHED_MS = Number(process.env.WATCHED_MS ?? 4000)
const SMALL = [1, 1, 8, 16]
const PAUSE_MS = 5

export async function benchEventLoop(): Promise<void> {
  const rows: string[][] = []
  const only = process.env.ATTACKS?.split(';')
  for (const [name, attack] of Object.entries(ATTACKS)) {
    if (only !== undefined && !only.some(part => name.includes(part))) continue
    rows.push([name, ...(await measure(attack))])
  }
  const loop = ['loop p50', 'p99', 'longest', 'CPU p99', 'longest']
  console.log(table(['attack', ...loop, 'small p50', 'p99', 'longest', 'small', 'answers'], rows))
}

async function measure({ connections, turn }: Attack): Promise<string[]> {
  const server = await startService('./monitored.ts', { LOG_LEVEL: 'info' })
  const small = requestBody('nested', SMALL)
  for (let run = 0; run < 200; run++) await exchange(server.url, JSON_TYPE, small)
  const answers = new Map<string, number>()
  const times: number[] = []
  let over = false
  const attacker = async (_: unknown, connection: number) => {
    while (!over) {
      const answer = await turn(server.url, connection).catch(error => String(error.code ?? error))
      answers.set(answer, (answers.get(answer) ?? 0) + 1)
    }
  }
  const held = await server.loopDelay(async () => {
    const attackers = Array.from({ length: connections }, attacker)
    await delay(100)
    for (const end = performance.now() + WATCHED_MS; performance.now() < end; ) {
      times.push((await exchange(server.url, JSON_TYPE, small)).ms)
      await delay(PAUSE_MS)
    }
    over = true
    await Promise.race([Promise.all(attackers), delay(60_000)])
  })
  server.stop()
  const { p50, p99, longest, cpuP99, cpuLongest } = held
  return [
    ...[p50, p99, longest, cpuP99, cpuLongest, ...[50, 99, 100].map(rank => percentile(times, rank))].map(
      ms => ms.toFixed(1),
    ),
    String(times.length),
    [...answers].map(([answer, count]) => `${count} × ${answer}`).join(', '),
  ]
}
