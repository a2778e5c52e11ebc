/** What a connection is given: what all of them share, and whose it is. */
import type { FastifyBaseLogger } from 'fastify'
import type { ModelStore } from '../../models/store.ts'
import type { Intake } from '../../pipeline/decode.ts'
import type { RunTraces } from '../telemetry/runs.ts'
import type { HeldRuns } from './held-runs.ts'
import type { ControlBuffer } from './messages.ts'
import type { StreamMetrics } from './metrics.ts'
import type { Limits } from './run-clock.ts'

export interface ConnectionContext extends Limits {
  intake: Intake
  traces: RunTraces | undefined
  control: ControlBuffer
  held: HeldRuns
  /** what runs may name */
  models: ModelStore
  metrics: StreamMetrics
  log: FastifyBaseLogger
  requestId: string
  /** whose connection it is */
  client: string
  /** Rejects where its client has used up its budget of requests, and runs. */
  count: (() => Promise<void>) | undefined
}
