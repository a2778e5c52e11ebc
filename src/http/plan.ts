/** `POST /v1/plan`: what a request would take, computing nothing. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { endpointAt } from '../endpoints/models/endpoint-at.ts'
import { PlanRequest } from '../endpoints/plan.ts'
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
  const client = clientOf(request)
  using body = await decode(new RequestBody(request), intake)
  const { endpoint: path, body: tree } = parse(PlanRequest, body.tree)
  using held = await endpointAt(path, store, signal)
  try {
    const { shapes, estimate, conventions, ...found } = await plan(
      held.endpoint,
      tree,
      body,
      planned => replyStyle(planned as Numerics, 'json'),
      intake,
      client,
      signal,
    )
    const problem = found.problem ?? usedUp(request, reply)
    const large = { held, tree, shapeAlone: true, engine: intake.engine, seconds: jobSeconds, client, signal }
    return {
      shapes,
      ...estimate,
      ...(conventions !== undefined && { conventions }),
      admitted: problem === undefined,
      ...(problem && { problem: { status: problem.status, code: problem.code, detail: problem.message } }),
      ...(await plannedCut(large, estimate)),
    }
  } catch (error) {
    throw error instanceof Problem ? error.below('/body') : error
  }
}
