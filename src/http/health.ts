/** Liveness, readiness and metrics. */
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { Engine } from '../engine/engine.ts'
import type { Jobs } from '../jobs/jobs.ts'

interface HealthOptions {
  engine: Engine
  jobs: Jobs
  /** whether metrics need no key */
  metricsPublic: boolean
}

export const health = fp(
  async (app: FastifyInstance, { engine, jobs, metricsPublic }: HealthOptions) => {
    const open = { config: { public: true } }
    app.get('/health/live', open, async () => ({ status: 'ok' }))

    app.get('/health/ready', open, async (_request, reply) => {
      const status = app.drain.leaving ? 'draining' : engine.ready ? 'ok' : 'unavailable'
      if (status !== 'ok') reply.code(503)
      const { usedBytes, committedBytes, limit } = engine.arena
      return {
        status,
        kernels: engine.kernels,
        threads: engine.threads,
        jobs: engine.jobs,
        // requests need none: the server is ready without it
        ...(jobs.shared && { queue: jobs.available ? 'ok' : 'unavailable' }),
        backlog_seconds: engine.backlogSeconds,
        memory: { used_bytes: usedBytes, committed_bytes: committedBytes, limit_bytes: limit },
      }
    })

    const { registry } = app.metrics
    app.get('/metrics', { config: { public: metricsPublic } }, async (request, reply) => {
      const wanted = request.headers.accept?.includes('application/openmetrics-text')
      const from = (wanted ? app.openMetrics : undefined) ?? registry
      return reply.type(from.contentType).send(await from.metrics())
    })
  },
  { name: 'health', encapsulate: true, dependencies: ['drain', 'observe'] },
)
