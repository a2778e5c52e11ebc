import { afterEach, expect, it } from 'vitest'
import { attention, post, type Server, settled, startServer } from './server.ts'

const workerFile = new URL('./loading-worker.ts', import.meta.url)
const I = [
  [1, 0],
  [0, 1],
]
const ok = { q: I, k: I, v: I }
/** A body that is scanned by workers. */
const large = JSON.stringify(ok).replace('{', `{${' '.repeat(100_000)}`)

afterEach(() => {
  delete process.env.FAILS_WHILE_LOADING
})

/** How long it was said that the next worker would be waited for, by the log. */
const delays = ({ log }: Server) =>
  log.flatMap(line => {
    const found =
      /died while it was loading, the next one starts in (\d+) ms: Error: this worker cannot/.exec(line)
    return found === null ? [] : [Number(found[1])]
  })
const until = async (holds: () => boolean | Promise<boolean>) => {
  while (!(await holds())) await new Promise(resolve => setTimeout(resolve, 10))
}
const ready = async ({ url }: Server) => {
  const response = await fetch(`${url}/health/ready`)
  return { status: response.status, body: (await response.json()) as { status: string } }
}

it('workers that fail while loading are started ever more rarely, and the server is not ready', async () => {
  process.env.FAILS_WHILE_LOADING = 'yes'
  const server = await startServer({ THREADS: '1', DEADLINE_SECONDS: '1' }, { workerFile })
  const before = server.app.engine.arena.usedBytes
  // accepted while the first worker was loading, or refused after that: it does not hang
  const early = await Promise.all([attention(server, ok), post(server, '/v1/attention', large)])
  for (const { status } of early) expect([500, 503, 504]).toContain(status)
  await until(() => delays(server).length >= 4)
  expect(delays(server).slice(0, 4)).toEqual([50, 100, 200, 400])
  expect(await ready(server)).toMatchObject({ status: 503, body: { status: 'unavailable' } })
  for (const body of [JSON.stringify(ok), large]) {
    const { status, body: problem, headers } = await post(server, '/v1/attention', body)
    expect({ status, code: problem.code }).toEqual({ status: 503, code: 'BUSY' })
    expect(Number(headers.get('retry-after'))).toBeGreaterThanOrEqual(1)
  }
  expect(server.app.engine.jobs).toBe(0)
  expect(await settled(server, before)).toBe(before)

  delete process.env.FAILS_WHILE_LOADING
  await until(async () => (await ready(server)).status === 200)
  expect((await attention(server, ok)).status).toBe(200)
  expect((await post(server, '/v1/attention', large)).status).toBe(200)
  expect((await ready(server)).body.status).toBe('ok')
})
