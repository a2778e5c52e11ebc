/** The queue of jobs in `/metrics`. */
import { Gauge, type Registry } from 'prom-client'
import type { Jobs } from '../jobs/jobs.ts'

export function watchJobs(registry: Registry, jobs: Jobs): void {
  new Gauge({
    name: 'attention_queue_jobs',
    help: 'Jobs of /v1/jobs, by state; with REDIS_URL those of all servers; ended ones for as long as they are known',
    labelNames: ['state'],
    registers: [registry],
    async collect() {
      const counts = await jobs.counts().catch(() => undefined)
      this.reset()
      for (const [state, count] of Object.entries(counts ?? {})) this.set({ state }, count)
    },
  })
  new Gauge({
    name: 'attention_queue_wait_seconds',
    help: 'Time for which the job that comes next has waited; with REDIS_URL of the queue of all servers',
    registers: [registry],
    async collect() {
      this.set(await jobs.waitSeconds().catch(() => Number.NaN))
    },
  })
  new Gauge({
    name: 'attention_queue_available',
    help: 'Whether the queue of jobs can be reached',
    registers: [registry],
    collect() {
      this.set(jobs.available ? 1 : 0)
    },
  })
}
