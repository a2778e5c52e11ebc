/** The service as a process: starts it, and ends it gracefully on SIGTERM and SIGINT. */
import './revectorize.ts'
import { once } from 'node:events'
import { setTimeout as wait } from 'node:timers/promises'
import pino from 'pino'
import { buildApp } from './app.ts'
import { LISTEN_BACKLOG, readConfig, wantsTelemetry } from './config.ts'
import { listen } from './http/listen.ts'
import { stopListening } from './http/stop-listening.ts'

const config = readConfig(process.env)
/** Of a log that nobody reads, so much is kept; what comes then is dropped. */
const LOG_BYTES = 4 << 20
/** Time that connections have to send a request, once there are no new ones. */
const CONNECTED_MS = 1000
/** Time to write the last lines. */
const FLUSH_MS = 1000

// written in the background: a line costs a small request as much as its arithmetic
const destination = pino.destination({ sync: false, maxLength: LOG_BYTES })
const logger = pino({ level: config.LOG_LEVEL }, destination)
// a library of tens of megabytes: only where it is asked for
const telemetry = wantsTelemetry(process.env)
  ? (await import('./http/telemetry/index.ts')).startTelemetry()
  : undefined
const app = await buildApp(config, logger, {}, telemetry)

logger.info({ kernels: app.engine.kernels, threads: app.engine.threads }, 'kernels chosen')
const door = { host: config.HOST, port: config.PORT, backlog: LISTEN_BACKLOG }
const doors = await listen(app.fastify, door)

/** A first SIGTERM waits for those who look at readiness; SIGINT and every other signal do not. */
const skipped = Promise.withResolvers<void>()
let stopping = false
for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.on(signal, () => {
    if (stopping || signal === 'SIGINT') skipped.resolve()
    if (stopping) return
    stopping = true
    void stop(signal)
  })
}

/** Readiness goes first, then new requests are refused and what was accepted is answered, then the doors close. */
async function stop(signal: string): Promise<void> {
  app.leave()
  const delay = config.SHUTDOWN_DELAY_SECONDS
  logger.info({ signal, delay }, 'leaving')
  await Promise.race([skipped.promise, wait(delay * 1000)])
  if (delay > 0) {
    // a proxy without health checks goes elsewhere when it cannot connect; what has connected by now is served
    await stopListening(doors)
    await Promise.race([skipped.promise, wait(CONNECTED_MS)])
  }
  logger.info('draining')
  const late = setTimeout(() => {
    logger.error('requests were still running when the time to drain was over')
    void exit(1)
  }, config.DRAIN_SECONDS * 1000)
  await app.drain()
  for (const door of doors.slice(1)) door.close()
  await app.close()
  await telemetry?.end()
  clearTimeout(late)
  logger.info('stopped')
  await exit(0)
}

/** A write to a pipe that nobody reads never returns, and would keep an ordinary exit waiting. */
async function exit(code: number): Promise<void> {
  setTimeout(() => process.kill(process.pid, 'SIGKILL'), FLUSH_MS)
  destination.end()
  await once(destination, 'close')
  process.exit(code)
}
