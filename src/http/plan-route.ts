/** `POST /v1/plan`: what a request would take, computing nothing. */

import type { FastifyRequest } from 'fastify'
import * as z from 'zod'
import { compileRequest } from '../endpoints/endpoint.ts'
import { answerStyle, ENDPOINTS } from '../endpoints/index.ts'
import { Body, type RouteContext } from '../pipeline/decode.ts'
import { schemaProblem } from '../pipeline/field-errors.ts'
import { Answer } from '../pipeline/reply.ts'
import { Problem } from '../problem.ts'

export const PlanRequest = z
  .strictObject({
    endpoint: z.enum(ENDPOINTS.map(({ path }) => path) as [string, ...string[]]),
    body: z
      .record(z.string(), z.unknown())
      .describe('the body of that endpoint; a tensor may be just {"shape": […]}'),
  })
  .meta({ id: 'PlanRequest' })

export async function handlePlan(context: RouteContext, request: FastifyRequest) {
  const { compute } = context
  const body = await Body.read(request, context)
  try {
    const plan = PlanRequest.safeParse(body.tree)
    if (!plan.success) throw schemaProblem(plan.error, body.tree)
    const endpoint = ENDPOINTS.find(({ path }) => path === plan.data.endpoint)
    if (endpoint === undefined) throw new Problem('NOT_FOUND', `no endpoint ${plan.data.endpoint}`)
    const parsed = endpoint.shapes.safeParse(plan.data.body)
    if (!parsed.success) throw below(schemaProblem(parsed.error, plan.data.body))
    const program = compiled(() => compileRequest(endpoint, parsed.data))
    const shapes = Object.fromEntries(program.outputs.map(({ name, shape }) => [name, shape]))
    // the answer's own buffers and steps are part of what the request takes
    new Answer(program, program.outputs, answerStyle(parsed.data, 'json'))
    const estimate = compute.estimate(program)
    const problem = compute.refusal(estimate) ?? compute.congestion(estimate)
    return {
      shapes,
      ...estimate,
      admitted: problem === undefined,
      ...(problem && { problem: { status: problem.status, code: problem.code, detail: problem.message } }),
    }
  } finally {
    body.release()
  }
}

function compiled<T>(compile: () => T): T {
  try {
    return compile()
  } catch (error) {
    throw error instanceof Problem ? below(error) : error
  }
}

/** The planned body stands under `/body`. */
function below(problem: Problem): Problem {
  const errors = problem.errors.map(({ path, message }) => ({ path: `/body${path}`, message }))
  return new Problem(problem.code, problem.message, { errors })
}
