/** Liveness, readiness and metrics. */
import type { FastifyInstance } from 'fastify'
import type { Engine } from '../engine/engine.ts'
import type { Metrics } from './plugins/observe.ts'

export function registerHealth(
  app: FastifyInstance,
  compute: Engine,
  metrics: Metrics,
  draining: () => boolean,
): void {
  app.get('/health/live', async () => ({ status: 'ok' }))

  app.get('/health/ready', async (_request, reply) => {
    if (draining()) reply.code(503).header('connection', 'close')
    const { usedBytes, committedBytes, limit } = compute.arena
    return {
      status: draining() ? 'draining' : 'ok',
      kernels: compute.kernels,
      threads: compute.threads,
      jobs: compute.jobs,
      backlog_seconds: compute.backlogSeconds,
      memory: { used_bytes: usedBytes, committed_bytes: committedBytes, limit_bytes: limit },
    }
  })

  app.get('/metrics', async (_request, reply) =>
    reply.type(metrics.registry.contentType).send(await metrics.registry.metrics()),
  )
}
