/** Where a request's time went, for `Server-Timing` and the log: wall-clock milliseconds. */
import type { JobReport } from '../engine/job.ts'

export class Timings {
  decode = 0
  queue = 0
  compute = 0
  encode = 0

  addReport({ spans, queueMs = 0 }: JobReport): void {
    this.decode += width(spans.decode)
    this.queue += queueMs
    this.compute += width(spans.compute)
    this.encode += width(spans.encode)
  }

  toString(): string {
    const { decode, queue, compute, encode } = this
    return Object.entries({ decode, queue, compute, encode })
      .map(([name, ms]) => `${name};dur=${ms.toFixed(3)}`)
      .join(', ')
  }
}

export function width(span: [number, number] | undefined): number {
  return span === undefined ? 0 : span[1] - span[0]
}
