/** Requests of mixed sizes, some of them malformed, as many a second as are wanted. */
import { Agent, request } from 'node:http'
import { float32, writeFile } from '../service/safetensors-file.ts'
import { JSON_TYPE, SAFETENSORS_TYPE } from '../service/server.ts'
import { Callers } from './callers.ts'
import { SMALL } from './small.ts'

export interface Kind {
  name: 'small' | 'medium' | 'large' | 'malformed'
  /** of a hundred */
  share: number
  path: string
  type: string
  bodies: Buffer[]
}

function tensor(shape: number[]) {
  const count = shape.reduce((product, extent) => product * extent, 1)
  return float32(
    Float32Array.from({ length: count }, (_, at) => Math.sin(at)),
    shape,
  )
}

function fileOf(shape: number[], request: object, names: string[]): Buffer {
  const x = tensor(shape)
  return writeFile(Object.fromEntries(names.map(name => [name, x])), { request: JSON.stringify(request) })
}

const GRADIENT = ['q', 'k', 'v', 'backward.grad_output']
const rows = [[1, 2]]
export const KINDS: Kind[] = [
  { name: 'small', share: 75, path: '/v1/attention', type: JSON_TYPE, bodies: [SMALL] },
  {
    name: 'medium',
    share: 15,
    path: '/v1/attention',
    type: SAFETENSORS_TYPE,
    bodies: [fileOf([1, 4, 128, 32], { causal: true }, ['q', 'k', 'v'])],
  },
  {
    name: 'large',
    share: 5,
    path: '/v1/attention',
    type: SAFETENSORS_TYPE,
    bodies: [fileOf([1, 8, 400, 64], { return: ['output', 'logsumexp'] }, GRADIENT)],
  },
  {
    name: 'malformed',
    share: 5,
    path: '/v1/attention',
    type: JSON_TYPE,
    bodies: [
      '{"q":[[1,2]',
      JSON.stringify({ q: rows, k: rows, v: [[1], [2]] }),
      JSON.stringify({ q: rows, k: rows, v: rows, kv: 1 }),
      JSON.stringify({ q: [[1, 'x']], k: rows, v: rows }),
      JSON.stringify({ q: rows, k: rows }),
      '\0',
    ].map(text => Buffer.from(text)),
  },
]

export function drawKind(draw: () => number): Kind {
  let left = 100 * draw()
  for (const kind of KINDS) {
    left -= kind.share
    if (left < 0) return kind
  }
  return KINDS[0]
}

export interface Answered {
  kind: Kind
  status: number | string
  ms: number
  bytes: Buffer
}

export function ask(port: number, kind: Kind, agent: Agent, which: number): Promise<Answered> {
  const { path, type, bodies } = kind
  const body = bodies[which % bodies.length]
  const begun = performance.now()
  return new Promise(resolve => {
    const end = (status: number | string, bytes = Buffer.alloc(0)) =>
      resolve({ kind, status, bytes, ms: performance.now() - begun })
    const headers = { 'content-type': type, accept: type, 'content-length': body.length }
    const asked = request({ port, agent, path, method: 'POST', headers }, answer => {
      const chunks: Buffer[] = []
      answer.on('data', chunk => chunks.push(chunk))
      answer.on('end', () => end(answer.statusCode ?? 0, Buffer.concat(chunks)))
      answer.on('error', error => end(error.message))
    })
    asked.on('error', error => end((error as NodeJS.ErrnoException).code ?? error.message))
    asked.end(body)
  })
}

export class Tally {
  readonly counts: Record<string, Record<string, number>> = {}
  answers = 0

  add({ kind: { name }, status }: Answered): void {
    this.answers++
    this.counts[name] ??= {}
    this.counts[name][status] = (this.counts[name][status] ?? 0) + 1
  }

  of(status: number | string): number {
    return Object.values(this.counts).reduce((sum, each) => sum + (each[status] ?? 0), 0)
  }

  get statuses(): string[] {
    return [...new Set(Object.values(this.counts).flatMap(each => Object.keys(each)))].sort()
  }
}

/** Callers who each ask again when they have an answer. */
export async function closedLoop(
  port: number,
  callers: number,
  seconds: number,
  draw: () => number,
): Promise<Tally> {
  const tally = new Tally()
  const agent = new Agent({ keepAlive: true, maxSockets: callers })
  const end = performance.now() + 1000 * seconds
  const caller = async () => {
    for (let which = 0; performance.now() < end; which++) {
      tally.add(await ask(port, drawKind(draw), agent, which))
    }
  }
  await Promise.all(Array.from({ length: callers }, caller))
  agent.destroy()
  return tally
}

/**
 * Requests at a rate, whether answered or not; at most `most` on their way. Those that were not sent for it are counted apart.
 * Their bytes stand ready, and connections are plain sockets: the generator shares the machine with the server.
 */
export async function openLoop(
  port: number,
  perSecond: number,
  seconds: number,
  most: number,
  draw: () => number,
  seen: (answered: Answered) => void,
): Promise<{ offered: number; heldBack: number; seconds: number }> {
  const callers = new Callers(port)
  const ready = new Map(KINDS.map(kind => [kind, kind.bodies.map(body => messageOf(kind, body))]))
  const begun = performance.now()
  let [offered, heldBack, open] = [0, 0, 0]
  const idle = Promise.withResolvers<void>()
  let over = false
  await new Promise<void>(resolve => {
    const clock = setInterval(() => {
      const elapsed = Math.min(seconds, (performance.now() - begun) / 1000)
      for (; offered + heldBack < elapsed * perSecond; ) {
        if (open >= most) {
          heldBack++
          continue
        }
        open++
        const kind = drawKind(draw)
        const messages = ready.get(kind) as Buffer[]
        const sent = performance.now()
        callers.ask(messages[offered++ % messages.length], (status, bytes) => {
          open--
          seen({ kind, status, bytes, ms: performance.now() - sent })
          if (over && open === 0) idle.resolve()
        })
      }
      if (elapsed < seconds) return
      clearInterval(clock)
      resolve()
    }, 2)
  })
  over = true
  if (open > 0) await idle.promise
  callers.close()
  return { offered, heldBack, seconds: (performance.now() - begun) / 1000 }
}

function messageOf({ path, type }: Kind, body: Buffer): Buffer {
  const head = `POST ${path} HTTP/1.1\r\nhost: x\r\ncontent-type: ${type}\r\naccept: ${type}\r\ncontent-length: ${body.length}\r\n\r\n`
  return Buffer.concat([Buffer.from(head), body])
}
