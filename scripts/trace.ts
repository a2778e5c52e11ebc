/**
 * Shows the way of a request through our own files: `npm run trace -- POST /v1/attention '{…}'`. A server of its own gets
 * the request a few times; every function entry is recorded (`trace/hook.ts`). Without arguments: a small
 * attention, forward and backward. `--json` prints the figures and every entry for programs to read.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import type { Order, Report } from './trace/hook.ts'
import { page, summary, type Trace } from './trace/summary.ts'

interface Request {
  method: string
  path: string
  body?: string
}

const X = [
  [1, 0, 0, 0],
  [0, 1, 0, 0],
  [0, 0, 1, 0],
]
const SMALL = JSON.stringify({
  q: X,
  k: X,
  v: X,
  causal: true,
  return: ['output', 'weights', 'entropy'],
  backward: { target: X },
})

/** One worker and one variant of the kernels, so that the way is the same on every machine. */
const SETTINGS = { HOST: '127.0.0.1', PORT: '0', THREADS: '1', KERNELS: 'relaxed', LOG_LEVEL: 'info' }

/** What the server does on its own, by a clock, may fall into one of these: the shortest is shown. */
const ATTEMPTS = 10

async function attempt(server: ChildProcess, url: string, request: Request): Promise<Trace> {
  await ask(server, 'record')
  const status = await send(url, request)
  const report = await ask(server, 'report')
  if (report === 'recording') throw new Error('the server did not report')
  if (report.lost > 0) throw new Error(`${report.lost} entries found no place`)
  return summary(`${request.method} ${request.path}`, status, report.entries)
}

async function traced(request: Request): Promise<Trace> {
  const server = fork(fileURLToPath(new URL('../src/main.ts', import.meta.url)), {
    execArgv: ['--import', new URL('trace/hook.ts', import.meta.url).href],
    env: { ...process.env, ...SETTINGS },
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  })
  try {
    const url = await addressOf(server)
    await send(url, request)
    const traces: Trace[] = []
    while (traces.length < ATTEMPTS) traces.push(await attempt(server, url, request))
    return traces.reduce((least, each) => (each.sequence.length < least.sequence.length ? each : least))
  } finally {
    if (server.connected) server.disconnect()
  }
}

/** Read from its log. */
async function addressOf(server: ChildProcess): Promise<string> {
  if (!server.stdout) throw new Error('the server has no log')
  let log = ''
  let address: string | undefined
  for await (const line of createInterface(server.stdout)) {
    log += `${line}\n`
    address = /listening at (http:[^"\s]+)/.exec(line)?.[1]
    if (address !== undefined) break
  }
  if (address === undefined) throw new Error(`the server did not start\n${log}`)
  // a log that nobody reads would stop the server once the pipe is full
  server.stdout.resume()
  return address
}

async function ask(server: ChildProcess, order: Order): Promise<Report> {
  server.send(order)
  const [report] = await once(server, 'message')
  return report
}

async function send(url: string, { method, path, body }: Request): Promise<number> {
  const headers = body === undefined ? undefined : { 'content-type': 'application/json' }
  const response = await fetch(new URL(path, url), { method, headers, body })
  await response.arrayBuffer()
  return response.status
}

const { values, positionals } = parseArgs({ options: { json: { type: 'boolean' } }, allowPositionals: true })
const [method = 'POST', path = '/v1/attention', given] = positionals
const body = given ?? (method === 'POST' && path === '/v1/attention' ? SMALL : undefined)
const trace = await traced({ method, path, body })
console.log(values.json ? JSON.stringify(trace) : page(trace))
