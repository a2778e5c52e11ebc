/** Where telemetry is wanted: stages as spans, the trace in the log, in the answer's head and in exemplars of `/metrics`. */
import { type Context, context, type Span, trace } from '@opentelemetry/api'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { Histogram, Registry } from 'prom-client'
import { isOperational } from '../plugins/observe.ts'
import type { Telemetry } from './index.ts'
import { followStages, traceparentOf } from './stages.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** the metrics with exemplars; only where there is telemetry */
    openMetrics?: Registry
  }
}

export const traces = fp(
  async (app: FastifyInstance, { instrumentation, meters }: Telemetry) => {
    await app.register(instrumentation.plugin())
    const openMetrics = new Registry()
    openMetrics.setContentType(Registry.OPENMETRICS_CONTENT_TYPE as never)
    const seconds = new Histogram<'route' | 'trace_id'>({
      name: 'attention_request_seconds',
      help: 'Time of requests, by route, with a trace of each bucket',
      labelNames: ['route'],
      buckets: [0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 60],
      enableExemplars: true,
      registers: [openMetrics],
    })
    for (const metric of app.metrics.registry.getMetricsAsArray()) openMetrics.registerMetric(metric as never)
    app.decorate('openMetrics', openMetrics)

    // the instrumentation forgets its span as the request ends, before our hooks
    const spans = new WeakMap<FastifyRequest, { span: Span; within: Context }>()
    app.addHook('onRequest', async (request, reply) => {
      if (isOperational(request.url)) return
      const { span, context: parent, tracer } = request.opentelemetry()
      if (span === null || parent === null) return
      spans.set(request, { span, within: trace.setSpan(parent, span) })
      const { traceId, spanId } = span.spanContext()
      request.log = request.log.child({ trace_id: traceId, span_id: spanId })
      reply.header('traceresponse', traceparentOf(span))
      request.follow = followStages(tracer, parent)
    })
    app.addHook('onSend', async request => {
      const { problem } = request
      if (problem !== undefined) spans.get(request)?.span.setAttribute('attention.problem.code', problem.code)
    })
    app.addHook('onResponse', async (request, reply) => {
      const traced = spans.get(request)
      if (traced === undefined) return
      const { span, within } = traced
      const route = request.routeOptions.url ?? 'none'
      const ms = reply.elapsedTime
      context.with(within, () => meters.observe(route, request.method, reply.statusCode, ms, request.receipt))
      const exemplarLabels = { trace_id: span.spanContext().traceId }
      seconds.observe({ labels: { route }, value: ms / 1000, exemplarLabels })
    })
  },
  { name: 'traces', dependencies: ['observe'] },
)
