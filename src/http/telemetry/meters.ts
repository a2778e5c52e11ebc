/** What goes out by OTLP beside the traces: the durations of requests and of their phases, by the conventions of HTTP servers. */
import type { Counter, Histogram, Meter } from '@opentelemetry/api'
import type { Receipt } from '../../pipeline/receipt.ts'

export class Meters {
  readonly #durations: Histogram
  readonly #phases: Histogram
  readonly #flops: Counter

  constructor(meter: Meter) {
    const buckets = { explicitBucketBoundaries: [0.0001, 0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 60] }
    this.#durations = meter.createHistogram('http.server.request.duration', {
      unit: 's',
      description: 'Time of requests',
      advice: buckets,
    })
    this.#phases = meter.createHistogram('attention.phase.duration', {
      unit: 's',
      description: 'Time of compute requests, by phase',
      advice: buckets,
    })
    this.#flops = meter.createCounter('attention.flops', {
      description: 'Floating-point operations of admitted requests',
    })
  }

  /** Within the context of the request's span, which exemplars then name. */
  observe(route: string, method: string, status: number, ms: number, receipt: Receipt | undefined): void {
    const request = {
      'http.route': route,
      'http.request.method': method,
      'http.response.status_code': status,
    }
    this.#durations.record(ms / 1000, request)
    if (receipt === undefined) return
    const { work, timings } = receipt
    if (work !== undefined) this.#flops.add(work.flops, { precision: work.precision })
    for (const [phase, spent] of Object.entries(timings)) {
      this.#phases.record(spent / 1000, { 'http.route': route, phase })
    }
  }
}
