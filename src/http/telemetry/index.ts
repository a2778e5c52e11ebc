/**
 * OpenTelemetry, by the standard `OTEL_*` variables: traces, metrics. Loaded only where they ask for it, so that it costs nothing
 * where they do not.
 */
import { FastifyOtelInstrumentation } from '@fastify/otel'
import { metrics, trace } from '@opentelemetry/api'
import { NodeSDK } from '@opentelemetry/sdk-node'
import { VERSION } from '../../config.ts'
import { isOperational } from '../plugins/observe.ts'
import { Meters } from './meters.ts'
import { RunTraces } from './runs.ts'

const NAME = 'attention-server'

export interface Telemetry {
  /** a span for each request, as a plugin of Fastify */
  instrumentation: FastifyOtelInstrumentation
  runs: RunTraces
  meters: Meters
  /** Sends what has not been sent. */
  end(): Promise<void>
}

export function startTelemetry(): Telemetry {
  const sdk = new NodeSDK({ serviceName: process.env.OTEL_SERVICE_NAME || NAME })
  sdk.start()
  const instrumentation = new FastifyOtelInstrumentation({
    instrumentHooks: false,
    instrumentHandler: false,
    ignorePaths: ({ url }) => isOperational(url),
  })
  return {
    instrumentation,
    runs: new RunTraces(trace.getTracer(NAME, VERSION)),
    meters: new Meters(metrics.getMeter(NAME, VERSION)),
    end: () => sdk.shutdown(),
  }
}
