/** `POST /v1/plan`: what a request would take, computing nothing. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { Plannable } from '../endpoints/endpoint.ts'
import { modelForward } from '../endpoints/models/endpoint.ts'
import { OF_MODEL, PlanRequest } from '../endpoints/plan.ts'
import { SERVED } from '../endpoints/served.ts'
import { plannedCut } from '../jobs/cut/plan-cut.ts'
import type { ModelStore } from '../models/store.ts'
import { decode } from '../pipeline/decode.ts'
import { type Numerics, replyStyle } from '../pipeline/reply.ts'
import { parse, plan } from '../pipeline/serve.ts'
import { Problem } from '../problem.ts'
import { usedUp } from './auth/limits.ts'
import { clientOf, RequestBody, type RestOptions, stopsWith } from './rest.ts'

export interface PlanOptions extends RestOptions {
  /** time that a job may take */
  jobSeconds: number
  store: ModelStore
}

export const plans = fp(
  async (app: FastifyInstance, options: PlanOptions) => {
    app.post('/v1/plan', async (request, reply) => {
      const { signal, clock } = stopsWith(reply, options.deadlineSeconds)
      try {
        return await planned(request, reply, options, signal)
      } finally {
        clearTimeout(clock)
      }
    })
  },
  { name: 'plans', encapsulate: true, dependencies: ['bodies', 'errors', 'observe', 'drain'] },
)

async function planned(
  request: FastifyRequest,
  reply: FastifyReply,
  { intake, store, jobSeconds }: PlanOptions,
  signal: AbortSignal,
) {
  using body = await decode(new RequestBody(request), intake)
  const { endpoint: path, body: tree } = parse(PlanRequest, body.tree)
  const [, name] = OF_MODEL.exec(path) ?? []
  const model = name === undefined ? undefined : await store.use(decodeURIComponent(name))
  const served = SERVED.find(each => each.path === path)
  const endpoint = model === undefined ? served : (modelForward(model) as Plannable)
  if (endpoint === undefined) throw new Problem('NOT_FOUND', `no endpoint ${path}`)
  try {
    const { shapes, estimate, conventions, ...found } = await plan(
      endpoint,
      tree,
      body,
      planned => replyStyle(planned as Numerics, 'json'),
      intake,
      clientOf(request),
      signal,
    )
    const problem = found.problem ?? usedUp(request, reply)
    return {
      shapes,
      ...estimate,
      ...(conventions !== undefined && { conventions }),
      admitted: problem === undefined,
      ...(problem && { problem: { status: problem.status, code: problem.code, detail: problem.message } }),
      ...plannedCut(path, tree, estimate, intake.engine, jobSeconds),
    }
  } catch (error) {
    throw error instanceof Problem ? error.below('/body') : error
  } finally {
    if (model !== undefined) store.release(model)
  }
}
