/** Stages of the pipeline as spans below the span of their request or run. */
import { type Context, type Span, type Tracer, trace } from '@opentelemetry/api'
import type { Follow } from '../../pipeline/receipt.ts'

interface Part {
  name: string
  from: number
  to: number
}

/** What workers did for a run of the program stands below the stage `run`, which is told of when it has ended. */
const WORKER = 'worker '

export function followStages(tracer: Tracer, parent: Context): Follow {
  let parts: Part[] = []
  return (name, from, to) => {
    if (name.startsWith(WORKER)) {
      parts.push({ name, from, to })
      return
    }
    const span = tracer.startSpan(name, { startTime: from }, parent)
    const below = trace.setSpan(parent, span)
    if (name === 'run') {
      for (const part of parts) tracer.startSpan(part.name, { startTime: part.from }, below).end(part.to)
      parts = []
    }
    span.end(to)
  }
}

/** The span in the form of W3C's traceparent, which `traceresponse` has too. */
export function traceparentOf(span: Span): string {
  const { traceId, spanId, traceFlags } = span.spanContext()
  return `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, '0')}`
}
