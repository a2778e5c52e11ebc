/**
 * The Open Inference Protocol at `/v2`, as Triton, KServe and their clients speak it: the same endpoints as models, through the same
 * pipeline.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { shortened } from '../../../workers/text/json-pointer.ts'
import { VERSION } from '../../config.ts'
import { decode, type Intake } from '../../pipeline/decode.ts'
import { parse } from '../../pipeline/serve.ts'
import { fieldProblem, Problem } from '../../problem.ts'
import { inferenceError } from '../plugins/errors.ts'
import { configurationOf } from './configuration.ts'
import { InferenceBody, infer, type Served } from './infer.ts'
import { COMPUTE_MODELS, type InferenceModel, MODEL_VERSION, type ModelSource } from './models.ts'
import { RepositoryIndexRequest } from './schema.ts'
import { Statistics } from './statistics.ts'

export interface InferenceOptions {
  intake: Intake
  deadlineSeconds: number
  /** of models beside the endpoints */
  further: ModelSource
}

const EXTENSIONS = [
  'binary_tensor_data',
  'parameters',
  'statistics',
  'model_repository',
  'model_configuration',
]

type Handler = (request: FastifyRequest, reply: FastifyReply) => unknown

export const inference = fp(
  async (app: FastifyInstance, { intake, deadlineSeconds, further }: InferenceOptions) => {
    const statistics = new Map<string, Statistics>()
    const named = (name: string) => COMPUTE_MODELS.find(each => each.name === name)
    const all = async () => {
      const found = await further.list()
      return [...COMPUTE_MODELS, ...found.filter(({ name }) => named(name) === undefined)]
    }
    const statisticsOf = (name: string) => {
      const known = statistics.get(name) ?? new Statistics(name)
      statistics.set(name, known)
      return known
    }
    const served = async (request: FastifyRequest): Promise<Served> => {
      const { model: name, version = MODEL_VERSION } = request.params as { model: string; version?: string }
      const model = named(name) ?? (await further.find(name))
      if (model === undefined) throw new Problem('NOT_FOUND', `no model ${shortened(name)}`)
      if (version !== MODEL_VERSION) {
        const detail = `no version ${shortened(version)} of ${name}: there is version "${MODEL_VERSION}" alone`
        throw new Problem('NOT_FOUND', detail)
      }
      return { model, statistics: statisticsOf(name) }
    }
    const isReady = () => !app.drain.leaving && intake.engine.ready
    const get = (path: string, handler: Handler) => route(app, 'GET', path, handler)
    const post = (path: string, handler: Handler) => route(app, 'POST', path, handler)

    for (const path of ['/v2', '/v2/']) {
      get(path, () => ({ name: 'attention-server', version: VERSION, extensions: EXTENSIONS }))
    }
    get('/v2/health/live', () => ({ live: true, ready: isReady() }))
    get('/v2/health/ready', (request, reply) => {
      if (isReady()) return { live: true, ready: true }
      return notReady(request, reply, 'this server', { live: true })
    })
    get('/v2/models', async () => ({ models: (await all()).map(({ name }) => name) }))
    get('/v2/models/stats', async () => ({
      model_stats: (await all()).map(({ name }) => statisticsOf(name)),
    }))
    for (const path of ['/v2/models/:model', '/v2/models/:model/versions/:version']) {
      get(path, async request => metadataOf((await served(request)).model))
      get(`${path}/config`, async request => configurationOf((await served(request)).model))
      get(`${path}/ready`, async (request, reply) => {
        const { model } = await served(request)
        if (isReady()) return { name: model.name, ready: true }
        return notReady(request, reply, `model ${model.name}`, { name: model.name })
      })
      get(`${path}/stats`, async request => ({ model_stats: [(await served(request)).statistics] }))
      post(`${path}/infer`, async (request, reply) =>
        infer(await served(request), request, reply, intake, deadlineSeconds),
      )
    }
    post('/v2/repository/index', async request => {
      const { ready = false } = hasBody(request) ? await indexRequest(request, intake) : {}
      const listed = (await all()).filter(({ reason }) => !ready || reason === '')
      return listed.map(({ name, reason }) => ({
        name,
        version: MODEL_VERSION,
        state: reason === '' ? 'READY' : 'UNAVAILABLE',
        reason,
      }))
    })
    for (const action of ['load', 'unload']) {
      post(`/v2/repository/models/:model/${action}`, async request => {
        const { name } = (await served(request)).model
        throw fieldProblem(
          'INVALID_REQUEST',
          '',
          `expected no ${action}: ${name} is there as long as this server is`,
        )
      })
    }
  },
  {
    name: 'inference',
    encapsulate: true,
    dependencies: ['bodies', 'errors', 'observe', 'drain'],
  },
)

function route(app: FastifyInstance, method: 'GET' | 'POST', url: string, handler: Handler): void {
  // health is everybody's
  const config = { public: url.startsWith('/v2/health/') }
  app.route({ method, url, config, handler: async (request, reply) => handler(request, reply) })
}

function metadataOf({ name, platform, inputs, outputs, properties }: InferenceModel) {
  return { name, versions: [MODEL_VERSION], platform, inputs, outputs, properties }
}

/** A 503 whose body says no, in the protocol's words, beside the problem. */
function notReady(request: FastifyRequest, reply: FastifyReply, what: string, more: object) {
  const problem = new Problem('BUSY', `${what} is not ready`, { retryAfter: 1 })
  request.problem = problem
  reply.code(problem.status).type('application/problem+json').header('retry-after', 1)
  return reply.send(JSON.stringify({ ...inferenceError(problem.toJSON(request.id)), ...more, ready: false }))
}

function hasBody({ raw: { headers } }: FastifyRequest): boolean {
  return Number(headers['content-length'] ?? 0) > 0 || headers['transfer-encoding'] !== undefined
}

async function indexRequest(request: FastifyRequest, intake: Intake) {
  using body = await decode(new InferenceBody(request), intake)
  return parse(RepositoryIndexRequest, body.tree)
}
