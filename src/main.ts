/** Starts the service, and ends it gracefully on SIGTERM and SIGINT. */
import './revectorize.ts'
import pino from 'pino'
import { buildApp } from './app.ts'
import { readConfig } from './config.ts'

const config = readConfig(process.env)
// written in the background: a line costs a small request as much as its arithmetic
const destination = pino.destination({ sync: false })
const logger = pino({ level: config.LOG_LEVEL }, destination)
const app = await buildApp(config, logger)

logger.info({ kernels: app.engine.kernels, threads: app.engine.threads }, 'kernels chosen')
await app.fastify.listen({ host: config.HOST, port: config.PORT })

let stopping = false
for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.on(signal, () => {
    if (stopping) return
    stopping = true
    void stop(signal)
  })
}

/** Readiness goes first, then what was accepted is answered, then the doors close. */
async function stop(signal: string): Promise<void> {
  logger.info({ signal }, 'draining')
  const late = setTimeout(() => {
    logger.error('requests were still running when the time to drain was over')
    destination.flushSync()
    process.exit(1)
  }, config.DRAIN_SECONDS * 1000)
  await app.drain()
  await app.close()
  clearTimeout(late)
  logger.info('stopped')
  destination.flushSync()
  process.exit(0)
}
