/** What a request took, filled in as it goes: a request that fails half-way has one too. Log and metrics read this alone. */
import type { JobReport } from '../engine/job.ts'

export interface Work {
  flops: number
  bytes: number
  precision: string
  /** shapes of what came in, by name */
  inputs: Record<string, number[] | number>
}

/** Where a request's time went: wall-clock milliseconds. */
export class Timings {
  decode = 0
  queue = 0
  compute = 0
  encode = 0

  add({ spans, queueMs = 0 }: JobReport): void {
    this.decode += width(spans.decode)
    this.queue += queueMs
    this.compute += width(spans.compute)
    this.encode += width(spans.encode)
  }
}

/** Told of a stage that has ended; milliseconds since 1970. */
export type Follow = (stage: string, from: number, to: number) => void

export class Receipt {
  /** where somebody traces the request */
  stages: Stages | undefined
  readonly timings = new Timings()
  /** once it has been admitted */
  work: Work | undefined
}

/** Tells of stages that come one after the other, and of what workers did meanwhile. */
export class Stages {
  readonly #follow: Follow
  #began = performance.now()

  constructor(follow: Follow) {
    this.#follow = follow
  }

  ended(stage: string): void {
    const { timeOrigin } = performance
    const now = performance.now()
    this.#follow(stage, timeOrigin + this.#began, timeOrigin + now)
    this.#began = now
  }

  workers({ spans }: JobReport): void {
    for (const [phase, [from, to]] of Object.entries(spans)) this.#follow(`worker ${phase}`, from, to)
  }
}

export function width(span: [number, number] | undefined): number {
  return span === undefined ? 0 : span[1] - span[0]
}
