/** A day of mixed traffic, at a hundredth of its length: nothing grows. */
import { Agent } from 'node:http'
import { setTimeout as wait } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { Client, tensor } from '../../src/client/index.ts'
import { uniformNumbers } from '../support/numbers.ts'
import { startReplica } from '../support/replica.ts'
import { report } from './figures.ts'
import { LONG, lasting, SEED, scaled } from './scale.ts'
import { type Memory, megabytes, memoryOf } from './service.ts'
import { ask, drawKind, Tally } from './traffic.ts'
import { trendOf } from './trend.ts'

const SECONDS = lasting(2, 864)
/** Caches, compiled code and the heap's own size come to rest in this share of it. */
const WARM = 0.25
const EVERY_MS = scaled(100, 2000)
/** Samples within one of the collector's rounds are alike. */
const LAG = 5
/** Beyond noise, what a day may add: 100 times this in 100 days. */
const MOST_GROWTH = 4 << 20

it('keeps its memory flat over a day of requests, streams and jobs', async () => {
  const { port, process: child } = await startReplica({ JOB_RESULT_SECONDS: '2' })
  const url = `http://127.0.0.1:${port}`
  const pid = child.pid as number
  const { used } = await memoryOf(url, pid)
  const draw = uniformNumbers(SEED)
  const tally = new Tally()
  const agent = new Agent({ keepAlive: true })
  let going = true
  const wrong: string[] = []

  /** Its load rises and falls twice, as between day and night. */
  const begun = performance.now()
  const pauseMs = () => {
    const hour = (performance.now() - begun) / 1000 / SECONDS
    return 20 * (1.5 + Math.cos(4 * Math.PI * hour)) * (0.5 + draw())
  }
  const requests = async () => {
    for (let which = 0; going; which++) {
      const answered = await ask(port, drawKind(draw), agent, which)
      tally.add(answered)
      const right = answered.kind.name === 'malformed' ? [400] : [200, 503]
      if (!right.includes(answered.status as number)) wrong.push(`${answered.kind.name}: ${answered.status}`)
      await wait(pauseMs())
    }
  }
  const client = new Client(url)
  const x = tensor(
    Float32Array.from({ length: 20 * 16 }, (_, at) => Math.sin(at)),
    [20, 16],
  )
  let [streams, jobs] = [0, 0]
  const streaming = async () => {
    const stack = { layers: 3, heads: 2, d_ff: 16, init: { seed: 1 } } as const
    while (going) {
      let layers = 0
      for await (const frame of client.stream({ stack, x, emit: ['weights'], credit: 1 })) {
        if (frame.type === 'layer' && ++layers === 2 && draw() < 0.3) break
      }
      streams++
      await wait(4 * pauseMs())
    }
  }
  const rows = [[1, 2, 3]]
  const working = async () => {
    while (going) {
      const body = JSON.stringify({ endpoint: '/v1/attention', body: { q: rows, k: rows, v: rows } })
      const headers = { 'content-type': 'application/json' }
      const taken = await fetch(`${url}/v1/jobs`, { method: 'POST', headers, body })
      if (taken.status !== 202) wrong.push(`job: ${taken.status}`)
      const { id } = (await taken.json()) as { id: string }
      if (draw() < 0.3) await fetch(`${url}/v1/jobs/${id}`, { method: 'DELETE' })
      else await (await fetch(`${url}/v1/jobs/${id}/events`)).text()
      jobs++
      await wait(8 * pauseMs())
    }
  }
  const seen: Memory[] = []
  const watching = async () => {
    while (performance.now() - begun < 1000 * SECONDS) {
      await wait(EVERY_MS)
      if (performance.now() - begun > 1000 * SECONDS * WARM) seen.push(await memoryOf(url, pid))
    }
    going = false
  }
  await Promise.all([watching(), requests(), requests(), streaming(), working()]).finally(() => {
    going = false
  })
  agent.destroy()
  expect(wrong).toEqual([])
  expect(streams * jobs).toBeGreaterThan(0)
  await expect.poll(async () => (await memoryOf(url, pid)).used, { timeout: 30_000 }).toBe(used)

  const trends = (['heap', 'others'] as const).map(name => ({
    name,
    ...trendOf(
      seen.map(each => each[name]),
      LAG,
    ),
  }))
  const said = trends.map(
    ({ name, growth, noise }) =>
      `${name} ${megabytes(seen[0][name])} → ${megabytes(seen[seen.length - 1][name])}, a line of ${megabytes(growth)} ± ${megabytes(noise)} a day`,
  )
  report(
    '24 hours at a hundredth',
    `${tally.answers} requests, ${streams} streams, ${jobs} jobs in ${SECONDS} s; ${said.join('; ')} (others: what the process has beside tensors); tensor memory in use at the end as at the start`,
  )
  if (!LONG) return
  for (const { name, growth, noise } of trends)
    expect(growth, name).toBeLessThan(Math.max(noise, MOST_GROWTH))
})
