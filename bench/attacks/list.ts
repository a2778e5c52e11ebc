/**
 * Requests that were made to take workers or memory from the others; those for the main thread are in `event-loop-attacks.ts`. Each goes
 * on until it is told to stop.
 */
import { connect } from 'node:net'
import { WebSocket } from 'ws'
import { JSON_TYPE } from '../client.ts'
import { send } from '../senders.ts'

export interface Attack {
  name: string
  /** settings of the attacked server */
  env?: Record<string, string>
  /** `note` is told every status, or code of a message, that comes back. */
  run(url: string, stop: AbortSignal, note: (status: string) => void): Promise<void>
}

const CONNECTIONS = 4
const wait = (ms: number) => new Promise(resolve => setTimeout(resolve, ms))
const ends = (stop: AbortSignal) => new Promise(resolve => stop.addEventListener('abort', resolve))

/** The same request over and over, on several connections. */
function repeated(name: string, path: string, body: () => string): Attack {
  const run: Attack['run'] = async (url, stop, note) => {
    const bytes = Buffer.from(body())
    const client = async () => {
      while (!stop.aborted) note(await send(url + path, JSON_TYPE, bytes, stop).catch(() => 'cut off'))
    }
    await Promise.all(Array.from({ length: CONNECTIONS }, client))
  }
  return { name, run }
}

/** 65,536 buckets, and rows that all fall into one of them. */
function alike(): string {
  const rows = 5000
  const x = { shape: [1, 1, rows, 1], dtype: 'float32', base64: Buffer.alloc(4 * rows, 1).toString('base64') }
  const kind = { kind: 'lsh', buckets: 65_536, rounds: 16, seed: 1 }
  return JSON.stringify({ q: x, k: x, v: x, attention_kind: kind, precision: 'float64' })
}

function tinyTasks(): string {
  const x = { shape: [1, 1, 700, 1], dtype: 'float32', base64: Buffer.alloc(4 * 700, 1).toString('base64') }
  return JSON.stringify({ q: x, k: x, v: x, softcap: 3, dropout: { p: 0.1, seed: 1 }, return: ['entropy'] })
}

/** Bodies of 256 MB are announced; a byte of each comes. */
const announced: Attack = {
  name: 'announced bodies',
  async run(url, stop, note) {
    const { hostname, port } = new URL(url)
    const sockets = Array.from({ length: 16 }, () => {
      const socket = connect(Number(port), hostname)
      const head = `POST /v1/attention HTTP/1.1\r\nHost: x\r\nContent-Type: ${JSON_TYPE}`
      socket.write(`${head}\r\nContent-Length: ${256 << 20}\r\n\r\n{`)
      socket.on('data', data => note(String(data).slice(9, 12)))
      socket.on('error', () => {})
      return socket
    })
    await ends(stop)
    for (const socket of sockets) socket.destroy()
  },
}

/** Messages that never end. */
const unfinished: Attack = {
  name: 'unfinished messages',
  async run(url, stop, note) {
    const part = Buffer.alloc(8 << 20, 32)
    const sockets = Array.from({ length: 6 }, () => open(url, note))
    for (let round = 0; round < 30 && !stop.aborted; round++) {
      for (const socket of sockets)
        if (socket.readyState === WebSocket.OPEN) socket.send(part, { fin: false })
      await wait(50)
    }
    if (!stop.aborted) await ends(stop)
    for (const socket of sockets) socket.terminate()
  },
}

/** Runs that nobody gives credit to. */
const creditless: Attack = {
  name: 'runs without credit',
  async run(url, stop, note) {
    const x = { shape: [1, 512, 64], dtype: 'float32', base64: Buffer.alloc(4 * 512 * 64).toString('base64') }
    const sockets = Array.from({ length: 8 }, () => open(url, note))
    await wait(300)
    for (const socket of sockets) {
      for (let id = 0; id < 30; id++) {
        const stack = { layers: 8, heads: 8, init: {} }
        const emit = ['weights', 'scores']
        socket.send(JSON.stringify({ type: 'start', id: String(id), stack, x, emit, credit: 0 }))
      }
    }
    await ends(stop)
    for (const socket of sockets) socket.terminate()
  },
}

function open(url: string, note: (status: string) => void): WebSocket {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/v1/stream`)
  socket.on('message', data => {
    const { type, problem } = JSON.parse(String(data))
    note(problem?.code ?? type)
  })
  socket.on('close', code => note(`closed ${code}`))
  socket.on('error', () => {})
  return socket
}

function escapes(): string {
  const text = `${'A'.repeat(240e6)}\\u0100`
  const tensor = `{"shape":[1,1],"dtype":"float32","base64":"${text}"}`
  return `{"q":${tensor},"k":[[1]],"v":[[1]]}`
}

export const ATTACKS: Attack[] = [
  { name: 'nothing', run: (_, stop) => ends(stop) as Promise<void> },
  repeated('work over nothing', '/v1/positional-encoding', () =>
    JSON.stringify({
      kind: 'alibi',
      x: { shape: [65536, 1073741824, 0], dtype: 'float32', base64: '' },
      encoding: 'flat',
    }),
  ),
  repeated('extents beside 0', '/v1/attention', () =>
    JSON.stringify({
      q: { shape: [0, 1, 2 ** 40, 4], data: [] },
      k: { shape: [0, 1, 2 ** 40, 4], data: [] },
      v: { shape: [0, 1, 2 ** 40, 4], data: [] },
    }),
  ),
  { ...repeated('LSH, rows alike', '/v1/attention', alike), env: { DEADLINE_SECONDS: '5' } },
  repeated('tasks that are dearer than they look', '/v1/attention', tinyTasks),
  announced,
  unfinished,
  creditless,
  repeated('240 MB of base64', '/v1/attention', escapes),
  repeated('a bad escape', '/v1/attention', () =>
    JSON.stringify({
      q: { shape: [1, 1], dtype: 'float32', base64: 'AAAAAA==' },
      k: [[1]],
      v: [[1]],
    }).replace('AA==', 'AA\\q='),
  ),
]
