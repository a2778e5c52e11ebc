/** The upgrade to WebSocket. It comes before the hooks that may refuse a request: it ends the sockets of refused upgrades. */
import websocketUpgrade from '@fastify/websocket'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'

/** Time a client has to answer the closing of its connection. */
const CLOSING_MS = 2000

export const websocket = fp(
  async (app: FastifyInstance, { mostBytes }: { mostBytes: number }) => {
    await app.register(websocketUpgrade, {
      options: { maxPayload: mostBytes, closeTimeout: CLOSING_MS } as object,
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
  },
  { name: 'websocket' },
)
