/** Requests that were made to take the service from the others. Each goes on until it is told to stop. */
import { request } from 'node:http'
import { connect } from 'node:net'
import { WebSocket } from 'ws'
import { float32, writeFile } from '../../test/service/safetensors-file.ts'
import { JSON_TYPE, SAFETENSORS_TYPE } from '../client.ts'

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
function repeated(name: string, path: string, body: () => string | Buffer, type = JSON_TYPE): Attack {
  const run: Attack['run'] = async (url, stop, note) => {
    const bytes = Buffer.from(body())
    const client = async () => {
      while (!stop.aborted) note(await status(url + path, bytes, type, stop))
    }
    await Promise.all(Array.from({ length: CONNECTIONS }, client))
  }
  return { name, run }
}

function status(url: string, body: Buffer, type: string, stop: AbortSignal): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>()
  const headers = { 'content-type': type, 'content-length': body.length }
  const outgoing = request(url, { method: 'POST', headers, signal: stop }, answer => {
    answer.resume()
    answer.on('end', () => resolve(String(answer.statusCode)))
    answer.on('error', () => resolve('cut off'))
  })
  outgoing.on('error', () => resolve('cut off'))
  outgoing.end(body)
  return promise
}

const plan = (body: object, endpoint = '/v1/attention') => JSON.stringify({ endpoint, body })
const shaped = (...shape: number[]) => ({ shape })
const qkv = (...shape: number[]) => ({ q: shaped(...shape), k: shaped(...shape), v: shaped(...shape) })

/** 65,536 buckets, and rows that all fall into one of them. */
function alike(): string {
  const rows = 16_384
  const x = { shape: [1, 1, rows, 1], dtype: 'float32', base64: Buffer.alloc(4 * rows, 1).toString('base64') }
  return JSON.stringify({ q: x, k: x, v: x, attention_kind: { kind: 'lsh', buckets: 65_536, seed: 1 } })
}

function tinyTasks(): string {
  const x = { shape: [1, 1, 700, 1], dtype: 'float32', base64: Buffer.alloc(4 * 700, 1).toString('base64') }
  return JSON.stringify({ q: x, k: x, v: x, softcap: 3, dropout: { p: 0.1, seed: 1 }, return: ['entropy'] })
}

function manyNames(): Buffer {
  const one = float32(new Float32Array(1), [1])
  return writeFile(Object.fromEntries(Array.from({ length: 16_000 }, (_, i) => [`t${i}`, one])), {})
}

const everything = () => ({
  stack: { layers: 256, heads: 1, d_ff: 4, init: {} },
  x: shaped(1, 2, 4),
  return: ['output', 'weights', 'scores', 'masked_scores', 'logsumexp', 'entropy'],
  backward: { target: shaped(1, 2, 4) },
})

/** Bodies of 256 MB are announced; a byte of each comes. */
const announced: Attack = {
  name: 'announced bodies',
  async run(url, stop, note) {
    const { hostname, port } = new URL(url)
    const sockets = Array.from({ length: 8 }, () => {
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
  repeated('10⁶ lengths', '/v1/plan', () =>
    plan({ ...qkv(1_000_000, 1, 1, 1), q_lengths: Array(1_000_000).fill(1) }),
  ),
  repeated('99,000 names', '/v1/plan', () => plan({ ...qkv(1, 1, 2, 2), return: Array(99_000).fill('x') })),
  repeated('16,000 tensors', '/v1/attention', manyNames, SAFETENSORS_TYPE),
  repeated('98 MB of lengths', '/v1/attention', () => `{"q_lengths":[${'1,'.repeat(49e6)}1]}`),
  repeated('256 layers', '/v1/plan', () => plan(everything(), '/v1/transformer')),
  repeated('240 MB of base64', '/v1/attention', escapes),
  repeated('a bad escape', '/v1/attention', () =>
    JSON.stringify({
      q: { shape: [1, 1], dtype: 'float32', base64: 'AAAAAA==' },
      k: [[1]],
      v: [[1]],
    }).replace('AA==', 'AA\\q='),
  ),
]
