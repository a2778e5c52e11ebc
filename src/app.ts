/** The service: Fastify, its plugins and routes around one engine. Listening is main.ts's business. */
import accepts from '@fastify/accepts'
import Fastify, { type FastifyInstance, type FastifyRequest, LogController } from 'fastify'
import type { Logger } from 'pino'
import type { Config } from './config.ts'
import { ENDPOINTS } from './endpoints/index.ts'
import { Engine, type EngineOptions } from './engine/engine.ts'
import { handleCompute } from './http/compute-route.ts'
import { registerHealth } from './http/health.ts'
import { handlePlan } from './http/plan-route.ts'
import { registerDocs } from './http/plugins/docs.ts'
import { registerErrors, sendProblem } from './http/plugins/errors.ts'
import { Metrics, registerObservation, requestId } from './http/plugins/observe.ts'
import { registerPage } from './http/plugins/page.ts'
import { Arrivals } from './http/stream/inbound-budget.ts'
import { StreamMetrics } from './http/stream/metrics.ts'
import { MessageReader } from './http/stream/read-message.ts'
import { registerStream, registerWebSocket, Streams } from './http/stream/route.ts'
import { BodyReader } from './pipeline/read-body.ts'
import { Problem } from './problem.ts'

export interface App {
  fastify: FastifyInstance
  engine: Engine
  /** From now on: readiness false, new requests 503; resolves when what was accepted has been answered. */
  drain(): Promise<void>
  close(): Promise<void>
}

const OPERATIONAL = ['/health/', '/metrics']

export async function buildApp(config: Config, logger: Logger, options: EngineOptions = {}): Promise<App> {
  let draining = false
  let open = 0
  let idle: (() => void) | undefined
  const metrics = new Metrics(() => engine)
  const engine = await Engine.start(config, {
    ...options,
    onLost(reason) {
      metrics.workersLost.inc()
      logger.error({ reason }, 'worker lost')
      options.onLost?.(reason)
    },
  })
  const fastify = Fastify({
    loggerInstance: logger,
    logController: new LogController({ disableRequestLogging: true }),
    genReqId: requestId,
    requestTimeout: config.BODY_SECONDS * 1000,
    bodyLimit: config.MAX_BODY_BYTES,
    forceCloseConnections: 'idle',
    return503OnClosing: false,
    clientErrorHandler: answerClientError,
    frameworkErrors: (error, request, reply) =>
      void sendProblem(error, request as FastifyRequest, reply as never),
  }) as unknown as FastifyInstance
  // bodies of every type are read by the routes, straight into shared memory
  fastify.removeAllContentTypeParsers()
  fastify.addContentTypeParser('*', (_request, _payload, done) => done(null))

  await fastify.register(accepts)
  await registerWebSocket(fastify, config.MAX_BODY_BYTES)
  registerObservation(fastify, metrics)
  registerErrors(fastify)
  fastify.addHook('onRequest', async (request, reply) => {
    open++
    reply.raw.once('close', () => {
      open--
      if (open === 0) idle?.()
    })
    if (draining && !OPERATIONAL.some(prefix => request.url.startsWith(prefix))) {
      reply.header('connection', 'close')
      throw new Problem('DRAINING', 'this server is shutting down; send the request again to another', {
        retryAfter: 1,
      })
    }
  })

  const context = {
    compute: engine,
    bodies: new BodyReader(engine, config.MAX_BODY_BYTES),
    deadlineSeconds: config.DEADLINE_SECONDS,
  }
  for (const endpoint of ENDPOINTS) {
    fastify.post(endpoint.path, (request, reply) => handleCompute(endpoint, context, request, reply))
  }
  fastify.post('/v1/plan', request => handlePlan(context, request))
  const streams = new Streams()
  const streamContext = {
    compute: engine,
    deadlineSeconds: config.DEADLINE_SECONDS,
    idleSeconds: config.STREAM_IDLE_SECONDS,
    reader: new MessageReader(engine),
    arrivals: new Arrivals(engine.arena.limit / 2),
    metrics: new StreamMetrics(
      metrics.registry,
      () => streams.open,
      code => metrics.problem(code),
    ),
  }
  registerStream(fastify, streamContext, streams)
  registerHealth(fastify, engine, metrics, () => draining)
  await registerDocs(fastify)
  await registerPage(fastify)
  await fastify.ready()

  return {
    fastify,
    engine,
    async drain() {
      draining = true
      streams.goAway()
      if (open > 0) {
        await new Promise<void>(resolve => {
          idle = resolve
        })
      }
    },
    async close() {
      await fastify.close()
      await engine.close()
    },
  }
}

/** What Node's HTTP parser refuses never becomes a request: answered on the socket, in the same form. */
function answerClientError(
  this: FastifyInstance,
  error: Error & { code?: string },
  socket: import('node:net').Socket,
): void {
  if (error.code === 'ECONNRESET' || socket.destroyed || !socket.writable) {
    socket.destroy()
    return
  }
  const late = error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
  const problem = late
    ? new Problem('BODY_TIMEOUT', 'the request did not arrive in time')
    : new Problem('BAD_HTTP', `the HTTP request is malformed (${error.code ?? 'unknown'})`)
  const body = JSON.stringify(problem.toJSON('-'))
  const head = [
    `HTTP/1.1 ${problem.status} ${late ? 'Request Timeout' : 'Bad Request'}`,
    'content-type: application/problem+json',
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
  ]
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`)
}
