/**
 * Two checkouts of the service against each other, in turns within one run: `npm run bench paired ../other`. Each scenario
 * alternates short blocks of requests between both servers; a block's rate is divided by that of the block beside it, and
 * the median of these ratios is what the machine's noise leaves of the difference.
 */
import { pathToFileURL } from 'node:url'
import { exchange, JSON_TYPE, requestBody, SAFETENSORS_TYPE } from './client.ts'
import { table } from './report.ts'
import { startService } from './service.ts'

const ROUNDS = Number(process.env.ROUNDS ?? 24)
const BLOCK_MS = 250

interface Scenario {
  name: string
  type: string
  body: Buffer
  connections: number
}

function scenarios(): Scenario[] {
  const x = [
    [1, 0, 0, 0],
    [0, 1, 0, 0],
    [0, 0, 1, 0],
  ]
  const request = {
    q: x,
    k: x,
    v: x,
    causal: true,
    return: ['output', 'weights', 'entropy'],
    backward: { target: x },
  }
  const small = Buffer.from(JSON.stringify(request))
  const list: Scenario[] = [1, 8, 32].map(connections => ({
    name: `small JSON, ${connections} connections`,
    type: JSON_TYPE,
    body: small,
    connections,
  }))
  for (const n of [32, 256, 1024]) {
    for (const backward of [false, true]) {
      const body = requestBody('safetensors', [1, 1, n, 64], { causal: true, backward })
      const name = `causal [1,1,${n},64], forward${backward ? ' + backward' : ''}`
      list.push({ name, type: SAFETENSORS_TYPE, body, connections: 1 })
    }
  }
  for (const backward of [false, true]) {
    const body = requestBody('safetensors', [1, 8, 1024, 64], { backward })
    list.push({
      name: `[1,8,1024,64], forward${backward ? ' + backward' : ''}`,
      type: SAFETENSORS_TYPE,
      body,
      connections: 1,
    })
  }
  return list
}

/** Requests a second over one block. */
async function rate(url: string, { type, body, connections }: Scenario): Promise<number> {
  const started = performance.now()
  let count = 0
  const client = async () => {
    do {
      await exchange(url, type, body)
      count++
    } while (performance.now() - started < BLOCK_MS)
  }
  await Promise.all(Array.from({ length: connections }, client))
  return count / ((performance.now() - started) / 1000)
}

function quantile(sorted: number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]
}

export async function benchPaired(other: string): Promise<void> {
  const folder = pathToFileURL(`${other}/`)
  const here = await startService('../src/main.ts')
  const there = await startService(new URL('src/main.ts', folder).href)
  const rows: string[][] = []
  for (const scenario of scenarios()) {
    const ratios: number[] = []
    const rates: number[] = []
    for (let round = -2; round < ROUNDS; round++) {
      // who begins changes from round to round
      const first = round % 2 === 0 ? here : there
      const second = first === here ? there : here
      const a = await rate(first.url, scenario)
      const b = await rate(second.url, scenario)
      const [ours, theirs] = first === here ? [a, b] : [b, a]
      if (round < 0) continue
      ratios.push(ours / theirs)
      rates.push(ours)
    }
    ratios.sort((a, b) => a - b)
    rates.sort((a, b) => a - b)
    const row = [0.5, 0.25, 0.75].map(share => quantile(ratios, share).toFixed(3))
    rows.push([scenario.name, quantile(rates, 0.5).toFixed(0), ...row])
  }
  here.stop()
  there.stop()
  console.log(table(['scenario', 'requests/s', 'here / there', 'lower quartile', 'upper quartile'], rows))
}
