/** The service: Fastify, its plugins and the engine. Listening is main.ts's business. */
import '../workers/older-node.ts'
import accepts from '@fastify/accepts'
import Fastify, { type FastifyInstance, type FastifyRequest, LogController } from 'fastify'
import type { Logger } from 'pino'
import { type Config, hostNames } from './config.ts'
import { Engine, type EngineOptions } from './engine/engine.ts'
import { openAccess } from './http/auth/access.ts'
import { auth } from './http/auth/index.ts'
import { limits } from './http/auth/limits.ts'
import { docs } from './http/docs/index.ts'
import { health } from './http/health.ts'
import { hosts } from './http/hosts.ts'
import { jobRoutes } from './http/jobs.ts'
import { models } from './http/models.ts'
import { Checkpoints } from './http/oip/checkpoints.ts'
import { inference } from './http/oip/index.ts'
import { origins } from './http/origins.ts'
import { page } from './http/page.ts'
import { plans } from './http/plan.ts'
import { refuseAtHead } from './http/plugins/crowd.ts'
import { drain, refuseCrowd } from './http/plugins/drain.ts'
import { clientErrors, errors, sendProblem } from './http/plugins/errors.ts'
import { takesUpgrade } from './http/plugins/ignored-upgrade.ts'
import { Metrics, observe, requestId } from './http/plugins/observe.ts'
import { websocket } from './http/plugins/websocket.ts'
import { bodies, rest } from './http/rest.ts'
import { STREAM_PATH, stream } from './http/stream/index.ts'
import type { Telemetry } from './http/telemetry/index.ts'
import { Jobs } from './jobs/jobs.ts'
import { BUILT_IN } from './models/folders.ts'
import { ModelStore } from './models/store.ts'
import { Arrivals } from './pipeline/arrivals.ts'
import type { Intake } from './pipeline/decode.ts'

export interface App {
  fastify: FastifyInstance
  engine: Engine
  /** From now on: readiness false, and each answer ends its connection; requests are still served. */
  leave(): void
  /** From now on: readiness false, new requests 503; resolves when what was accepted has been answered. */
  drain(): Promise<void>
  /** The time to drain is over: streams are closed, and go on elsewhere. Whether a run of theirs was still computed. */
  endStreams(): boolean
  close(): Promise<void>
}

export async function buildApp(
  config: Config,
  logger: Logger,
  options: EngineOptions = {},
  telemetry?: Telemetry,
): Promise<App> {
  const metrics = new Metrics()
  const fastify = createFastify(config, logger, metrics)
  const { engine, drain, close } = await install(fastify, config, metrics, {
    ...options,
    telemetry,
    hostNames: hostNames(config),
  })
  await fastify.register(docs)
  await fastify.register(page)
  await fastify.ready()
  const leaving = () => fastify.drain.leaving
  const { LINGER_BYTES: lingerBytes, CORS_ORIGINS: origins } = config
  const refuse = refuseAtHead({ logger, metrics, lingerBytes, origins, leaving })
  refuseCrowd(fastify.server, engine, config.MAX_BODY_BYTES, refuse)

  return {
    fastify,
    engine,
    leave: () => fastify.drain.leave(),
    async drain() {
      await Promise.all([fastify.drain.begin(), drain()])
    },
    endStreams: () => fastify.drain.end(),
    async close() {
      await fastify.close()
      await close()
    },
  }
}

export interface InstallOptions extends EngineOptions {
  /** whether paths without a resource are the service's to answer, as they are unless false */
  notFound?: boolean
  telemetry?: Telemetry | undefined
  /** by which browsers may reach it; any without */
  hostNames?: readonly string[] | undefined
}

export interface Installed {
  engine: Engine
  /** no other job is begun; settles when none runs */
  drain(): Promise<void>
  /** behind Fastify's own */
  close(): Promise<void>
}

/** Everything but documents and page, in an instance of Fastify that is the service's own or a part of another's. */
export async function install(
  fastify: FastifyInstance,
  config: Config,
  metrics: Metrics,
  { notFound, telemetry, hostNames, ...options }: InstallOptions = {},
): Promise<Installed> {
  // first: where it fails, there are no workers yet
  const access = await openAccess(config, fastify.log)
  const engine = await Engine.start(config, {
    ...options,
    onLost(reason) {
      metrics.workersLost.inc()
      fastify.log.error({ reason }, 'worker lost')
      options.onLost?.(reason)
    },
  })
  metrics.watch(engine)
  const deadlineSeconds = config.DEADLINE_SECONDS
  // at most half of the memory is for what is not whole yet
  const arrivals = new Arrivals(engine.arena.limit / 2)
  const intake: Intake = {
    engine,
    arrivals,
    mostBytes: Math.min(config.MAX_BODY_BYTES, arrivals.limit),
    bodySeconds: Math.min(config.BODY_SECONDS, deadlineSeconds),
    budget: access?.budgets,
  }

  const folders = config.MODELS_DIR === undefined ? [BUILT_IN] : [config.MODELS_DIR, BUILT_IN]
  const store = new ModelStore(folders, config.MODEL_MEMORY_BYTES, engine)
  const jobs = await Jobs.open(config, intake, store, (error, what) => {
    if (error === undefined) fastify.log.warn(what)
    else fastify.log.warn({ err: error }, what)
  })

  // order matters: see http/plugins/README.md
  await fastify.register(accepts)
  await fastify.register(websocket, { path: STREAM_PATH, mostBytes: intake.mostBytes })
  await fastify.register(bodies)
  await fastify.register(observe, { metrics })
  if (telemetry) await fastify.register((await import('./http/telemetry/plugin.ts')).traces, telemetry)
  await fastify.register(errors, { lingerBytes: config.LINGER_BYTES, notFound })
  await fastify.register(drain)
  await fastify.register(hosts, { names: hostNames })
  await fastify.register(origins, { allowed: config.CORS_ORIGINS })
  await fastify.register(auth, { access })
  await fastify.register(limits, { access })
  await fastify.register(rest, { intake, deadlineSeconds })
  await fastify.register(plans, { intake, store, deadlineSeconds, jobSeconds: config.JOB_SECONDS })
  await fastify.register(models, { store, intake, deadlineSeconds })
  await fastify.register(inference, { intake, deadlineSeconds, further: new Checkpoints(store) })
  await fastify.register(jobRoutes, { intake, jobs, deadlineSeconds })
  await fastify.register(stream, {
    intake,
    models: store,
    traces: telemetry?.runs,
    deadlineSeconds,
    idleSeconds: config.STREAM_IDLE_SECONDS,
    runSeconds: config.RUN_SECONDS,
    origins: config.CORS_ORIGINS,
    mostOfKey: config.STREAMS_PER_KEY,
  })
  await fastify.register(health, { engine, jobs, metricsPublic: config.METRICS_PUBLIC })
  return {
    engine,
    drain: () => jobs.drain(),
    async close() {
      await jobs.close()
      store.close()
      access?.close()
      await engine.close()
    },
  }
}

/** Requests are validated by zod, and no route has a schema of the framework's: it need not load what it would compile one with. */
function refuseSchema(): never {
  throw new Error('expected a route without a schema')
}

function createFastify(config: Config, logger: Logger, metrics: Metrics): FastifyInstance {
  const bodyMs = config.BODY_SECONDS * 1000
  // often: of thousands of idle connections that are over few come to one turn
  const checkMs = 100
  const fastify = Fastify({
    loggerInstance: logger,
    logController: new LogController({ disableRequestLogging: true }),
    genReqId: requestId,
    // for heads, and for bodies that no route reads: those of routes have a clock of their own, which goes first
    requestTimeout: bodyMs + checkMs,
    keepAliveTimeout: config.KEEP_ALIVE_SECONDS * 1000,
    http: {
      headersTimeout: bodyMs,
      connectionsCheckingInterval: checkMs,
      shouldUpgradeCallback: takesUpgrade,
    },
    bodyLimit: config.MAX_BODY_BYTES,
    // a name of any length is one that nobody has, a 404: heads have a limit of their own
    routerOptions: { maxParamLength: Number.MAX_SAFE_INTEGER },
    schemaController: { compilersFactory: { buildValidator: refuseSchema, buildSerializer: refuseSchema } },
    forceCloseConnections: 'idle',
    return503OnClosing: false,
    clientErrorHandler: clientErrors(logger, metrics, (method, url) => fastify.unrouted(method, url)),
    frameworkErrors: (error, request, reply) =>
      void sendProblem(error, request as FastifyRequest, reply as never),
  }) as unknown as FastifyInstance
  return fastify
}
