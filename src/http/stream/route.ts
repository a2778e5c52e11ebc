/** `GET /v1/stream`: the upgrade to WebSocket, and all open connections. */
import websocket from '@fastify/websocket'
import type { FastifyInstance } from 'fastify'
import { Problem } from '../../problem.ts'
import { Connection, type ConnectionContext } from './connection.ts'

/** Clients are asked as often as this whether they are still there. */
const ALIVE_MS = 30_000
/** Time a client has to answer the closing of its connection. */
const CLOSING_MS = 2000

export class Streams {
  readonly #connections = new Set<Connection>()

  get open(): number {
    return this.#connections.size
  }

  add(connection: Connection): void {
    this.#connections.add(connection)
  }

  delete(connection: Connection): void {
    this.#connections.delete(connection)
  }

  goAway(): void {
    for (const connection of this.#connections) connection.goAway()
  }

  checkAlive(): void {
    for (const connection of this.#connections) connection.checkAlive()
  }
}

/** To be called before hooks that may refuse a request: it ends the sockets of upgrades that are refused. */
export async function registerWebSocket(app: FastifyInstance, maxPayload: number): Promise<void> {
  await app.register(websocket, {
    options: { maxPayload, closeTimeout: CLOSING_MS } as object,
    errorHandler(error, socket, request) {
      // what a client did to its socket is no fault of ours, and closes it by itself
      const { code = '' } = error as NodeJS.ErrnoException
      if (/^(WS_ERR_|E[A-Z]+$)/.test(code)) return
      request.log.error({ err: error }, 'internal error')
      socket.terminate()
    },
    async preClose() {
      for (const socket of app.websocketServer.clients) socket.close(1001, 'going away')
      app.websocketServer.close()
    },
  })
}

export function registerStream(
  app: FastifyInstance,
  context: Omit<ConnectionContext, 'log' | 'requestId'>,
  streams: Streams,
): void {
  const alive = setInterval(() => streams.checkAlive(), ALIVE_MS).unref()
  app.addHook('onClose', async () => clearInterval(alive))
  app.route({
    method: 'GET',
    url: '/v1/stream',
    handler: async (_request, reply) => {
      reply.header('upgrade', 'websocket')
      throw new Problem('UPGRADE_REQUIRED', 'expected a WebSocket handshake (RFC 6455), got a plain request')
    },
    wsHandler(socket, request) {
      const connection = new Connection(socket, request.raw.socket, {
        ...context,
        log: request.log,
        requestId: request.id,
      })
      streams.add(connection)
      socket.on('close', () => streams.delete(connection))
    },
  })
}
