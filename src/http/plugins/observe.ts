/** Request ids, `Server-Timing`, the log line and the metrics of every request. Never tensor contents. */
import { randomUUID } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { FastifyInstance } from 'fastify'
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import type { Engine } from '../../engine/engine.ts'
import { Timings } from '../../pipeline/timings.ts'
import type { Problem } from '../../problem.ts'

declare module 'fastify' {
  interface FastifyRequest {
    timings: Timings | undefined
    work: Work | undefined
    problem: Problem | undefined
  }
}

/** What a compute request took, for the log. */
export interface Work {
  flops: number
  bytes: number
  precision: string
  inputs: Record<string, number[] | number>
}

const PHASES = ['decode', 'queue', 'compute', 'encode'] as const

const REQUEST_ID = /^[\x21-\x7e]{1,128}$/

/** The client's `x-request-id` where it is a plain short word, else a new one. */
export function requestId(message: IncomingMessage): string {
  const given = message.headers['x-request-id']
  return typeof given === 'string' && REQUEST_ID.test(given) ? given : randomUUID()
}

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

  constructor(compute: () => Engine) {
    collectDefaultMetrics({ register: this.registry })
    this.#gauge('attention_jobs', 'Programs in the queue or running', () => compute().jobs)
    this.#gauge(
      'attention_backlog_seconds',
      'Estimated time until the queue is empty',
      () => compute().backlogSeconds,
    )
    this.#gauge('attention_memory_used_bytes', 'Tensor memory in use', () => compute().arena.usedBytes)
    this.#gauge(
      'attention_memory_committed_bytes',
      'Tensor memory grown so far',
      () => compute().arena.committedBytes,
    )
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

  observe(
    route: string,
    method: string,
    status: number,
    timings: Timings | undefined,
    work: Work | undefined,
  ): void {
    this.#requests.inc({ route, method, status })
    if (work !== undefined) this.#flops.inc({ precision: work.precision }, work.flops)
    if (timings === undefined) return
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

export function registerObservation(app: FastifyInstance, metrics: Metrics): void {
  app.decorateRequest('timings', undefined)
  app.decorateRequest('work', undefined)
  app.decorateRequest('problem', undefined)
  app.addHook('onSend', async (request, reply) => {
    reply.header('x-request-id', request.id)
    reply.header('server-timing', String(request.timings ?? new Timings()))
  })
  app.addHook('onResponse', async (request, reply) => {
    const route = request.routeOptions.url ?? 'none'
    const { timings, work, problem } = request
    metrics.observe(route, request.method, reply.statusCode, timings, work)
    if (problem !== undefined) metrics.problem(problem.code)
    request.log.info(
      {
        method: request.method,
        route,
        status: reply.statusCode,
        ms: round(reply.elapsedTime),
        ...(work && { inputs: work.inputs, precision: work.precision, flops: work.flops, bytes: work.bytes }),
        ...(timings && { timings: String(timings) }),
        ...(problem && { code: problem.code, detail: problem.message.slice(0, 300) }),
      },
      'request',
    )
  })
}

function round(ms: number): number {
  return Math.round(ms * 1000) / 1000
}
