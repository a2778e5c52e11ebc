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
    const status = draining() ? 'draining' : compute.ready ? 'ok' : 'unavailable'
    if (status !== 'ok') reply.code(503)
    if (status === 'draining') reply.header('connection', 'close')
    const { usedBytes, committedBytes, limit } = compute.arena
    return {
      status,
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
