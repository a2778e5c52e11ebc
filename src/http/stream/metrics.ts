/** What is counted of streams. */
import { Counter, Gauge, type Registry } from 'prom-client'
import type { FrameType } from './frame-fields.ts'

export class StreamMetrics {
  readonly problem: (code: string) => void
  readonly #runs: Counter
  readonly #messages: Counter

  constructor(registry: Registry, open: () => number, problem: (code: string) => void) {
    this.problem = problem
    this.#runs = new Counter({
      name: 'attention_stream_runs_total',
      help: 'Runs of streams, by how they ended',
      labelNames: ['outcome'],
      registers: [registry],
    })
    this.#messages = new Counter({
      name: 'attention_stream_frames_total',
      help: 'Messages with tensors sent over streams, by type',
      labelNames: ['type'],
      registers: [registry],
    })
    new Gauge({
      name: 'attention_stream_connections',
      help: 'Open streams',
      registers: [registry],
      collect() {
        this.set(open())
      },
    })
  }

  run(outcome: 'done' | 'cancelled' | 'failed' | 'refused'): void {
    this.#runs.inc({ outcome })
  }

  frame(type: FrameType): void {
    this.#messages.inc({ type })
  }
}
