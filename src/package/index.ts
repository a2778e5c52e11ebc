/** `import { startServer } from 'attention-server'`: the service in a process of one's own. */
import '../revectorize.ts'
import type { AddressInfo } from 'node:net'
import type { FastifyInstance } from 'fastify'
import pino, { type Logger } from 'pino'
import { buildApp } from '../app.ts'
import { LISTEN_BACKLOG, VERSION } from '../config.ts'
import { listen } from '../http/listen.ts'
import { configOf, type Settings } from './options.ts'

export type { Settings } from './options.ts'

export interface ServerOptions extends Settings {
  /** where lines of the log go; a pino logger to standard output where there is none */
  logger?: Logger | undefined
}

export interface Server {
  /** where it listens, as `http://127.0.0.1:8080` */
  url: string
  port: number
  /** for routes of one's own, `inject` and hooks of closing */
  fastify: FastifyInstance
  /** Answers what was accepted, for `drainSeconds` at most, and closes. */
  close(): Promise<void>
}

/** The version of the package. */
export const version: string = VERSION

/** Resolves when it listens: on 127.0.0.1:8080, if neither `host` nor `port` says otherwise. */
export async function startServer({ logger, ...settings }: ServerOptions = {}): Promise<Server> {
  const config = configOf(settings)
  const app = await buildApp(config, logger ?? pino({ level: config.LOG_LEVEL }))
  try {
    await listen(app.fastify, { host: config.HOST, port: config.PORT, backlog: LISTEN_BACKLOG })
  } catch (error) {
    await app.close()
    throw error
  }
  const { port } = app.fastify.server.address() as AddressInfo
  const host = config.HOST.includes(':') ? `[${config.HOST}]` : config.HOST
  let closing: Promise<void> | undefined
  const close = async () => {
    const late = new Promise<void>(resolve => setTimeout(resolve, config.DRAIN_SECONDS * 1000).unref())
    await Promise.race([app.drain(), late])
    await app.close()
  }
  return {
    url: `http://${host}:${port}`,
    port,
    fastify: app.fastify,
    close() {
      closing ??= close()
      return closing
    },
  }
}
