/** What a model has served so far, in the form of the protocol's statistics. */
import type * as z from 'zod'
import type { Timings } from '../../pipeline/receipt.ts'
import { MODEL_VERSION } from './models.ts'
import type { StatisticsAnswer } from './schema.ts'

type ModelStatistics = z.output<typeof StatisticsAnswer>['model_stats'][number]

/** Sizes of batches that are told apart: a client may send any. */
const MOST_SIZES = 64

class Duration {
  #count = 0
  #ms = 0

  add(ms: number): void {
    this.#count++
    this.#ms += ms
  }

  toJSON() {
    return { count: this.#count, ns: Math.round(this.#ms * 1e6) }
  }
}

class Stages {
  readonly #input = new Duration()
  readonly #infer = new Duration()
  readonly #output = new Duration()

  add({ decode, compute, encode }: Timings): void {
    this.#input.add(decode)
    this.#infer.add(compute)
    this.#output.add(encode)
  }

  toJSON() {
    return {
      compute_input: this.#input.toJSON(),
      compute_infer: this.#infer.toJSON(),
      compute_output: this.#output.toJSON(),
    }
  }
}

export class Statistics {
  readonly #name: string
  readonly #success = new Duration()
  readonly #fail = new Duration()
  readonly #queue = new Duration()
  readonly #stages = new Stages()
  readonly #batches = new Map<number, Stages>()
  #last = 0
  #items = 0
  #runs = 0

  constructor(name: string) {
    this.#name = name
  }

  succeeded(items: number, timings: Timings, ms: number): void {
    this.#last = Date.now()
    this.#items += items
    this.#runs++
    this.#success.add(ms)
    this.#queue.add(timings.queue)
    this.#stages.add(timings)
    const known = this.#batches.get(items)
    if (known === undefined && this.#batches.size >= MOST_SIZES) return
    const stages = known ?? new Stages()
    this.#batches.set(items, stages)
    stages.add(timings)
  }

  failed(ms: number): void {
    this.#fail.add(ms)
  }

  toJSON(): ModelStatistics {
    const none = new Duration().toJSON()
    const sizes = [...this.#batches].sort(([a], [b]) => a - b)
    return {
      name: this.#name,
      version: MODEL_VERSION,
      last_inference: this.#last,
      inference_count: this.#items,
      execution_count: this.#runs,
      inference_stats: {
        success: this.#success.toJSON(),
        fail: this.#fail.toJSON(),
        queue: this.#queue.toJSON(),
        ...this.#stages.toJSON(),
        cache_hit: none,
        cache_miss: none,
      },
      response_stats: {},
      batch_stats: sizes.map(([batch_size, stages]) => ({ batch_size, ...stages.toJSON() })),
      memory_usage: [],
    }
  }
}
