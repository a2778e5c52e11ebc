/** Workers die at random under load: only their own requests fail, and every other answer has the bits that it has without. */

import { Agent } from 'node:http'
import { expect, it } from 'vitest'
import { settled, startServer } from '../service/server.ts'
import { uniformNumbers } from '../support/numbers.ts'
import { report } from './figures.ts'
import { SEED, scaled } from './scale.ts'
import { metric } from './service.ts'
import { type Answered, ask, drawKind, KINDS } from './traffic.ts'

const DEATHS = scaled(6, 200)
const CALLERS = 8

const sound = await startServer()
const mortal = await startServer({}, { workerFile: new URL('./mortal-worker.ts', import.meta.url) })
const portOf = ({ url }: { url: string }) => Number(new URL(url).port)

it('fails only the requests of workers that die; every later answer has the same bits', async () => {
  const right = new Map<string, Answered>()
  const alone = new Agent()
  for (const kind of KINDS) right.set(kind.name, await ask(portOf(sound), kind, alone, 0))
  const before = mortal.app.engine.arena.usedBytes
  const draw = uniformNumbers(SEED)
  const agent = new Agent({ keepAlive: true, maxSockets: CALLERS })
  const counts: Record<string, number> = {}
  const wrong: string[] = []
  let deaths = 0
  const caller = async () => {
    while (deaths < DEATHS && wrong.length === 0) {
      const { kind, status, bytes } = await ask(portOf(mortal), drawKind(draw), agent, 0)
      const expected = right.get(kind.name) as Answered
      counts[status] = (counts[status] ?? 0) + 1
      if (status === expected.status) {
        if (status === 200 && !bytes.equals(expected.bytes)) wrong.push(`${kind.name}: other bytes`)
      } else if (status !== 500 || JSON.parse(bytes.toString()).code !== 'WORKER_LOST') {
        wrong.push(`${kind.name}: ${status} ${bytes.toString().slice(0, 200)}`)
      }
    }
  }
  const clock = setInterval(async () => {
    deaths = await metric(mortal.url, 'attention_worker_failures_total')
  }, 100)
  await Promise.all(Array.from({ length: CALLERS }, caller)).finally(() => clearInterval(clock))
  agent.destroy()
  expect(wrong).toEqual([])
  deaths = await metric(mortal.url, 'attention_worker_failures_total')
  // one that died before it had begun a task has failed nobody's
  expect(counts[500] ?? 0).toBeLessThanOrEqual(deaths)
  expect(await settled(mortal, before)).toBe(before)
  report(
    'workers that die',
    `${deaths} workers of ${mortal.app.engine.threads} at a time: ${JSON.stringify(counts)} by status, each answer with the bits of a sound server`,
  )
})
