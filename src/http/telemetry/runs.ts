/** A span for each run of a stream. */
import { context, propagation, SpanKind, SpanStatusCode, type Tracer, trace } from '@opentelemetry/api'
import type { Follow } from '../../pipeline/receipt.ts'
import { followStages, traceparentOf } from './stages.ts'

export interface RunTrace {
  follow: Follow
  traceresponse: string
  /** `code`: of the problem that ended it */
  end(code?: string): void
}

export class RunTraces {
  readonly #tracer: Tracer

  constructor(tracer: Tracer) {
    this.#tracer = tracer
  }

  /** `from`: when its message had come, milliseconds since 1970; `traceparent`, `tracestate`: its client's. */
  begin(id: string, from: number, client: { traceparent?: string; tracestate?: string }): RunTrace {
    const parent = propagation.extract(context.active(), client)
    const attributes = { 'attention.run.id': id }
    const span = this.#tracer.startSpan(
      'stream run',
      { kind: SpanKind.SERVER, startTime: from, attributes },
      parent,
    )
    return {
      follow: followStages(this.#tracer, trace.setSpan(parent, span)),
      traceresponse: traceparentOf(span),
      end(code) {
        if (code !== undefined) {
          span.setAttribute('attention.problem.code', code)
          span.setStatus({ code: SpanStatusCode.ERROR })
        }
        span.end()
      },
    }
  }
}
