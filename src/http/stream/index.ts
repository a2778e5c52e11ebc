/** `GET /v1/stream`: the upgrade to WebSocket, and all open connections. */
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { Intake } from '../../pipeline/decode.ts'
import { Problem } from '../../problem.ts'
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

export interface StreamOptions extends Limits {
  intake: Intake
  /** where runs are traced */
  traces: RunTraces | undefined
  /** of whose pages streams may be opened, beside the server's own */
  origins: readonly string[]
}

export const stream = fp(
  async (app: FastifyInstance, { intake, origins, ...limits }: StreamOptions) => {
    const { engine } = intake
    const held = new HeldRuns(engine.arena.limit)
    engine.reclaimFrom(held)
    const { metrics, drain } = app
    const connections = new Set<Connection>()
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
    app.route({
      method: 'GET',
      url: STREAM_PATH,
      onRequest: async request => checkOrigin(request, origins),
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
        const connection = new Connection(socket, request.raw.socket, { ...context, log, requestId, client })
        connections.add(connection)
        socket.on('close', () => connections.delete(connection))
      },
    })
  },
  { name: 'stream', encapsulate: true, dependencies: ['websocket', 'errors', 'observe', 'drain'] },
)
