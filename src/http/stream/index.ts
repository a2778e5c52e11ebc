/** `GET /v1/stream`: the upgrade to WebSocket, and all open connections; `POST /v1/stream-ticket`: what browsers open one with. */
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { ModelStore } from '../../models/store.ts'
import type { Intake } from '../../pipeline/decode.ts'
import { Problem } from '../../problem.ts'
import { checkStreams } from '../auth/limits.ts'
import { TICKET_SECONDS } from '../auth/tickets.ts'
import { checkOrigin } from '../origins.ts'
import { clientOf } from '../rest.ts'
import type { RunTraces } from '../telemetry/runs.ts'
import { Connection } from './connection.ts'
import { HeldRuns } from './held-runs.ts'
import { ControlBuffer } from './messages.ts'
import { StreamMetrics } from './metrics.ts'
import type { Limits } from './run-clock.ts'

/** Clients are asked as often as this whether they are still there. */
const ALIVE_MS = 30_000

export const STREAM_PATH = '/v1/stream'
export const TICKET_PATH = '/v1/stream-ticket'

export interface StreamOptions extends Limits {
  intake: Intake
  models: ModelStore
  /** where runs are traced */
  traces: RunTraces | undefined
  /** of whose pages streams may be opened, beside the server's own */
  origins: readonly string[]
  /** streams that a key may have open */
  mostOfKey: number
}

export const stream = fp(
  async (app: FastifyInstance, { intake, origins, mostOfKey, ...limits }: StreamOptions) => {
    const { engine } = intake
    const held = new HeldRuns(engine.arena.limit)
    engine.reclaimFrom(held)
    const { metrics, drain } = app
    const connections = new Set<Connection>()
    /** connections by client */
    const open = new Map<string, number>()
    const context = {
      intake,
      ...limits,
      held,
      control: new ControlBuffer(engine),
      metrics: new StreamMetrics(
        metrics.registry,
        () => connections.size,
        code => metrics.problem(code),
      ),
    }
    const alive = setInterval(() => {
      for (const connection of connections) connection.checkAlive()
    }, ALIVE_MS).unref()
    app.addHook('onClose', async () => clearInterval(alive))
    drain.onBegin(() => {
      for (const connection of connections) connection.goAway()
    })
    drain.onEnd(() => [...connections].filter(connection => connection.end()).length > 0)
    app.post(TICKET_PATH, async (request, reply) => {
      reply.header('cache-control', 'no-store')
      return { ticket: await app.tickets.issue(request.identity), expires_in: TICKET_SECONDS }
    })
    app.route({
      method: 'GET',
      url: STREAM_PATH,
      config: { ticket: true },
      onRequest: async request => {
        checkOrigin(request, origins)
        checkStreams(request, client => open.get(client) ?? 0, mostOfKey)
      },
      handler: async (_request, reply) => {
        reply.header('upgrade', 'websocket')
        throw new Problem(
          'UPGRADE_REQUIRED',
          'expected a WebSocket handshake (RFC 6455), got a plain request',
        )
      },
      wsHandler(socket, request) {
        const { log, id: requestId } = request
        const client = clientOf(request)
        const count = app.countRequest?.bind(app, request)
        const own = { ...context, log, requestId, client, count }
        const connection = new Connection(socket, request.raw.socket, own)
        open.set(client, (open.get(client) ?? 0) + 1)
        connections.add(connection)
        socket.on('close', () => {
          connections.delete(connection)
          const left = (open.get(client) ?? 0) - 1
          if (left > 0) open.set(client, left)
          else open.delete(client)
        })
      },
    })
  },
  {
    name: 'stream',
    encapsulate: true,
    dependencies: ['websocket', 'errors', 'observe', 'drain', 'auth', 'limits'],
  },
)
