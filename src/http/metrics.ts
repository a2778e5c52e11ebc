/** What is counted, for `GET /metrics`. */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import type { Engine } from '../engine/engine.ts'
import type { Receipt } from '../pipeline/receipt.ts'

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
