/**
 * The upgrade to WebSocket, on one path alone. It comes before the hooks that may refuse a request: it ends the sockets of
 * refused upgrades.
 */
import type { IncomingMessage } from 'node:http'
import websocketUpgrade from '@fastify/websocket'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { Problem } from '../../problem.ts'
import { requestId } from './observe.ts'

/** Time a client has to answer the closing of its connection. */
const CLOSING_MS = 2000

export const websocket = fp(
  async (app: FastifyInstance, { path, mostBytes }: { path: string; mostBytes: number }) => {
    // in somebody's own instance that has it already, there is one for all
    if (app.hasDecorator('websocketServer')) return
    const verifyClient = onlyAt(app.prefix + path)
    await app.register(websocketUpgrade, {
      options: { maxPayload: mostBytes, closeTimeout: CLOSING_MS, verifyClient } as object,
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

/** What the library calls before it shakes hands, which it would do on every path. */
function onlyAt(path: string) {
  type Answer = (accepted: boolean, status?: number, body?: string, headers?: Record<string, string>) => void
  return ({ req }: { req: IncomingMessage }, answer: Answer) => {
    const url = req.url?.split('?')[0] ?? ''
    if (url === path) {
      answer(true)
      return
    }
    const id = requestId(req)
    const problem = new Problem('NOT_FOUND', `expected an upgrade of ${path}, got one of another path`)
    answer(false, problem.status, JSON.stringify(problem.toJSON(id)), {
      'Content-Type': 'application/problem+json',
      'X-Request-Id': id,
    })
  }
}
