/** Behind real proxies: everybody gets an answer, whatever one client sends, and while replicas come and go. */
import { Agent, request as httpRequest } from 'node:http'
import { setTimeout as wait } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { startReplica, terminate } from '../support/replica.ts'
import { startHaproxy, startNginx } from './proxies.ts'

const replicas = await Promise.all([startReplica(), startReplica()])
const ports = replicas.map(({ port }) => port)
const small = '{"q":[[1]],"k":[[1]],"v":[[1]]}'

interface Sent {
  path?: string
  type?: string
  body?: Buffer | string
  chunked?: boolean
}

/** The status, or the code of what went wrong. */
function statusOf(url: string, sent: Sent = {}, agent?: Agent): Promise<number | string> {
  const { path = '/v1/attention', type = 'application/json', body = small, chunked = false } = sent
  return new Promise(resolve => {
    const length = chunked
      ? { 'transfer-encoding': 'chunked' }
      : { 'content-length': Buffer.byteLength(body) }
    const headers = { 'content-type': type, ...length }
    const outgoing = httpRequest(url + path, { method: 'POST', agent, headers }, answer => {
      answer.resume()
      answer.on('end', () => resolve(answer.statusCode ?? 0))
    })
    outgoing.on('error', error => resolve((error as NodeJS.ErrnoException).code ?? error.message))
    outgoing.end(body)
  })
}

function count(values: (number | string)[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const value of values) counts[value] = (counts[value] ?? 0) + 1
  return counts
}

const proxies: [string, (ports: number[]) => Promise<string>][] = [
  ['nginx', ports => startNginx(ports)],
  ['haproxy', ports => startHaproxy(ports)],
]

describe.each(proxies)('behind %s with its default settings', (_name, startProxy) => {
  const mistyped = { path: '/v1/atention', body: Buffer.alloc(3 << 20, 0x20) }
  it.each([
    ['3 MB to a mistyped path', mistyped, 404],
    ['3 MB to it in chunks', { ...mistyped, chunked: true }, 404],
    ['60 kB of a wrong type', { type: 'text/plain', body: Buffer.alloc(60_000, 0x20) }, 415],
    ['3 MB of a wrong type', { type: 'text/plain', body: Buffer.alloc(3 << 20, 0x20) }, 415],
  ])('%s: its sender and 240 others get their answers', async (_what, bad, status) => {
    const url = await startProxy(ports)
    const refused = Promise.all(Array.from({ length: 10 }, () => statusOf(url, bad)))
    const served: (number | string)[] = []
    for (let round = 0; round < 12; round++) {
      served.push(...(await Promise.all(Array.from({ length: 20 }, () => statusOf(url)))))
    }
    expect(count(await refused)).toEqual({ [status]: 10 })
    expect(count(served)).toEqual({ 200: 240 })
  })
})

describe('below a path prefix of nginx', () => {
  it('the page, its files, the documents, requests and the stream are there', async () => {
    const below = `${await startNginx(ports)}/prefix/`
    const html = await (await fetch(below)).text()
    const links = [...html.matchAll(/(?:src|href)="([^"#]+)"/g)].map(([, link]) => new URL(link, below).href)
    expect(links.filter(link => link.includes('/assets/')).length).toBeGreaterThanOrEqual(3)
    for (const link of [...links, `${below}docs/`, `${below}openapi.json`, `${below}health/ready`]) {
      expect(link.startsWith(below), link).toBe(true)
      const { status } = await fetch(link)
      expect([link, status]).toEqual([link, 200])
    }
    expect(await statusOf(below.slice(0, -1))).toBe(200)
    const socket = new WebSocket(`${below.replace('http', 'ws')}v1/stream`)
    await new Promise((resolve, reject) => {
      socket.addEventListener('open', resolve)
      socket.addEventListener('error', reject)
    })
    socket.close()
  })

  it('a job is where its Location says, and its result where the job says', async () => {
    const url = await startNginx([ports[0]])
    const taken = await fetch(`${url}/prefix/v1/jobs`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: `{"endpoint":"/v1/attention","body":${small}}`,
    })
    const location = taken.headers.get('location') as string
    // what is above the prefix need not be this service
    expect(location).toMatch(/^\/prefix\/v1\/jobs\//)
    const job = async () => (await (await fetch(url + location)).json()) as { result?: string }
    await expect.poll(async () => (await job()).result).toBe(`${location}/result`)
    const result = await fetch(url + (await job()).result)
    expect(await result.json()).toMatchObject({ output: [[1]] })
  })
})

it.each([
  ['nginx', () => startNginx(ports)],
  ['haproxy with option abortonclose', () => startHaproxy(ports, 'option abortonclose')],
])('a request whose client leaves %s is logged, counted and not computed on', async (name, startProxy) => {
  const url = await startProxy()
  const x = {
    shape: [1, 8, 4000, 64],
    dtype: 'float32',
    base64: Buffer.alloc(8 * 4000 * 64 * 4).toString('base64'),
  }
  const body = JSON.stringify({ q: x, k: x, v: x, precision: 'float64', return: ['entropy'] })
  const stop = new AbortController()
  const headers = { 'content-type': 'application/json', 'x-request-id': `leaves-${name.slice(0, 5)}` }
  const left = fetch(`${url}/v1/attention`, { method: 'POST', headers, body, signal: stop.signal })
  const jobs = async () => {
    const texts = await Promise.all(
      ports.map(async port => (await fetch(`http://127.0.0.1:${port}/metrics`)).text()),
    )
    return texts
      .map(text => Number(/^attention_jobs (\d+)/m.exec(text)?.[1]))
      .reduce((sum, each) => sum + each, 0)
  }
  await expect.poll(jobs, { timeout: 30_000 }).toBe(1)
  stop.abort()
  await expect(left).rejects.toThrow()
  await expect.poll(jobs, { timeout: 30_000 }).toBe(0)
  const lines = () =>
    replicas
      .flatMap(({ log }) => log.join('').split('\n'))
      .filter(line => line.includes(`"leaves-${name.slice(0, 5)}"`))
  await expect.poll(lines, { timeout: 30_000 }).toHaveLength(1)
  expect(JSON.parse(lines()[0])).toMatchObject({ status: 499, code: 'CLIENT_CLOSED' })
})

/** Callers that go on until `until` resolves, with what they got. */
async function underLoad(url: string, until: Promise<unknown>): Promise<Record<string, number>> {
  const got: (number | string)[] = []
  let going = true
  const caller = async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    while (going) got.push(await statusOf(url, {}, agent))
    agent.destroy()
  }
  const callers = Array.from({ length: 6 }, caller)
  await until
  going = false
  await Promise.all(callers)
  return count(got)
}

/** Each of two replicas ends and comes back at its port, one after the other. */
async function restartEach(pair: Awaited<ReturnType<typeof startReplica>>[], env: Record<string, string>) {
  for (const [index, replica] of pair.entries()) {
    await wait(1500)
    expect(await terminate(replica)).toBe(0)
    pair[index] = await startReplica(env, replica.port)
  }
  await wait(300)
}

/** What docs/BEHIND-A-PROXY.md says: without it nginx asks no other replica where one has reset a connection that it had not yet taken. */
const anotherTry = 'proxy_next_upstream error timeout http_503 non_idempotent;'

describe('a rolling restart under load', () => {
  it.each([
    ['nginx with its default settings', (ports: number[]) => startNginx(ports)],
    ['nginx', (ports: number[]) => startNginx(ports, anotherTry)],
    [
      'nginx that keeps its connections',
      (ports: number[]) =>
        startNginx(ports, `${anotherTry} proxy_http_version 1.1; proxy_set_header Connection "";`),
    ],
    ['haproxy', (ports: number[]) => startHaproxy(ports, 'option httpchk GET /health/ready')],
  ])('loses no request behind %s', async (_name, startProxy) => {
    const env = { SHUTDOWN_DELAY_SECONDS: '1' }
    const pair = await Promise.all([startReplica(env), startReplica(env)])
    const url = await startProxy(pair.map(({ port }) => port))
    const counts = await underLoad(url, restartEach(pair, env))
    expect(Object.keys(counts), JSON.stringify(counts)).toEqual(['200'])
    expect(counts[200]).toBeGreaterThan(200)
  })
})
