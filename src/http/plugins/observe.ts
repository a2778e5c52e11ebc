/** Request ids, `Server-Timing`, the log line and the metrics of every request. Never tensor contents. */
import { randomUUID } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import type { Engine } from '../../engine/engine.ts'
import { type Follow, type Receipt, Timings } from '../../pipeline/receipt.ts'
import type { Problem } from '../../problem.ts'

declare module 'fastify' {
  interface FastifyInstance {
    metrics: Metrics
  }
  interface FastifyRequest {
    /** what a compute request has taken so far */
    receipt: Receipt | undefined
    /** told of its stages, where it is traced */
    follow: Follow | undefined
    /** what it was answered with instead of a result */
    problem: Problem | undefined
  }
}

const REQUEST_ID = /^[\x21-\x7e]{1,128}$/

/** The client's `x-request-id` where it is a plain short word, else a new one. */
export function requestId(message: IncomingMessage): string {
  const given = message.headers['x-request-id']
  return typeof given === 'string' && REQUEST_ID.test(given) ? given : randomUUID()
}

const PHASES = ['decode', 'queue', 'compute', 'encode'] as const

export class Metrics {
  readonly registry = new Registry()
  readonly #requests = new Counter({
    name: 'attention_requests_total',
    help: 'Requests answered, by route, method and status',
    labelNames: ['route', 'method', 'status'],
    registers: [this.registry],
  })
  readonly #problems = new Counter({
    name: 'attention_problems_total',
    help: 'Problems answered, by code',
    labelNames: ['code'],
    registers: [this.registry],
  })
  readonly #phases = new Histogram({
    name: 'attention_phase_seconds',
    help: 'Time of compute requests, by route and phase',
    labelNames: ['route', 'phase'],
    buckets: [0.0001, 0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 60],
    registers: [this.registry],
  })
  readonly #children = new Map<string, { observe(seconds: number): void }>()
  readonly #flops = new Counter({
    name: 'attention_flops_total',
    help: 'Floating-point operations of admitted requests',
    labelNames: ['precision'],
    registers: [this.registry],
  })
  readonly workersLost = new Counter({
    name: 'attention_worker_failures_total',
    help: 'Tasks whose worker threw, trapped or died',
    registers: [this.registry],
  })

  constructor() {
    collectDefaultMetrics({ register: this.registry })
  }

  /** The state of the engine, whenever it is asked for. */
  watch(engine: Engine): void {
    const { arena } = engine
    this.#gauge('attention_jobs', 'Programs in the queue or running', () => engine.jobs)
    this.#gauge(
      'attention_backlog_seconds',
      'Estimated time until the queue is empty',
      () => engine.backlogSeconds,
    )
    this.#gauge('attention_memory_used_bytes', 'Tensor memory in use', () => arena.usedBytes)
    this.#gauge('attention_memory_committed_bytes', 'Tensor memory grown so far', () => arena.committedBytes)
  }

  #gauge(name: string, help: string, read: () => number): void {
    new Gauge({
      name,
      help,
      registers: [this.registry],
      collect() {
        this.set(read())
      },
    })
  }

  observe(route: string, method: string, status: number, receipt: Receipt | undefined): void {
    this.#requests.inc({ route, method, status })
    if (receipt === undefined) return
    const { timings, work } = receipt
    if (work !== undefined) this.#flops.inc({ precision: work.precision }, work.flops)
    for (const phase of PHASES) this.#child(route, phase).observe(timings[phase] / 1000)
  }

  /** prom-client looks labels up by a text it makes of them: once is enough. */
  #child(route: string, phase: (typeof PHASES)[number]) {
    const key = `${route} ${phase}`
    const known = this.#children.get(key)
    if (known !== undefined) return known
    const child = this.#phases.labels({ route, phase })
    this.#children.set(key, child)
    return child
  }

  problem(code: string): void {
    this.#problems.inc({ code })
  }
}

/** In the form of the header `Server-Timing`; all 0 for a request that computes nothing. */
export function serverTiming(receipt: Receipt | undefined): string {
  const { decode, queue, compute, encode } = receipt?.timings ?? NOTHING
  return (
    `decode;dur=${decode.toFixed(3)}, queue;dur=${queue.toFixed(3)}, ` +
    `compute;dur=${compute.toFixed(3)}, encode;dur=${encode.toFixed(3)}`
  )
}

const NOTHING = new Timings()

/** What stands for an answer that nobody was there to read. */
const LEFT = 499

/** Health checks and metrics: of the server itself, and asked for all the time. */
export function isOperational(path: string): boolean {
  return /^\/(v2\/)?health\/|^\/metrics/.test(path)
}

function levelOf(status: number, route: string): 'error' | 'info' | 'debug' {
  if (status >= 500) return 'error'
  return isOperational(route) ? 'debug' : 'info'
}

/** Characters of a problem that the log holds. */
const MOST_DETAIL = 300
/** A key or a token that somebody has sent as something else, or the beginning of one. */
const SECRET = /attn_[0-9a-f]{12}_[\w-]*|eyJ[\w-]+(\.[\w-]+)*/g

/** What a problem quotes goes back to who has sent it; the log is read by others. */
function quotable(message: string): string {
  return message.slice(0, MOST_DETAIL).replace(SECRET, '…')
}

/** Of a request whose answer nobody has read to its end. */
function left(request: FastifyRequest, metrics: Metrics): void {
  const route = request.routeOptions.url ?? 'none'
  const { receipt, method } = request
  // what could not be said any more, where it was not its client who left
  const { status, code } = request.problem ?? { status: LEFT, code: 'CLIENT_CLOSED' }
  metrics.observe(route, method, status, receipt)
  metrics.problem(code)
  request.log[levelOf(status, route)]({ method, route, status, code }, 'request')
}

export const observe = fp(
  async (app: FastifyInstance, { metrics }: { metrics: Metrics }) => {
    app.decorate('metrics', metrics)
    app.decorateRequest('receipt', undefined)
    app.decorateRequest('problem', undefined)
    app.decorateRequest('follow', undefined)
    app.addHook('onSend', async (request, reply) => {
      reply.header('x-request-id', request.id)
      reply.header('server-timing', serverTiming(request.receipt))
      reply.header('x-content-type-options', 'nosniff')
    })
    app.addHook('onRequest', (request, reply, done) => {
      // the framework tells only of those whose body was not whole when they left
      reply.raw.once('close', () => {
        if (!reply.raw.writableFinished && !request.ws) left(request, metrics)
      })
      done()
    })
    app.addHook('onResponse', async (request, reply) => {
      const route = request.routeOptions.url ?? 'none'
      const { receipt, problem } = request
      metrics.observe(route, request.method, reply.statusCode, receipt)
      if (problem !== undefined) metrics.problem(problem.code)
      const { inputs, precision, flops, bytes } = receipt?.work ?? {}
      request.log[levelOf(reply.statusCode, route)](
        {
          method: request.method,
          route,
          status: reply.statusCode,
          ms: Math.round(reply.elapsedTime * 1000) / 1000,
          ...(receipt?.work && { inputs, precision, flops, bytes }),
          ...(request.identity && { key: request.identity.name }),
          ...(receipt && { timings: serverTiming(receipt) }),
          ...(problem && { code: problem.code, detail: quotable(problem.message) }),
        },
        'request',
      )
    })
  },
  { name: 'observe' },
)
