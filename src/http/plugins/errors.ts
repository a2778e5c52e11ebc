/** Every failure becomes RFC 9457 problem+json, once, here. */
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { Timings } from '../../pipeline/timings.ts'
import { Problem, type ProblemCode } from '../../problem.ts'

/** Fastify's own failures, by their codes. */
const FASTIFY: Record<string, ProblemCode> = {
  FST_ERR_CTP_BODY_TOO_LARGE: 'BODY_TOO_LARGE',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'UNSUPPORTED_MEDIA_TYPE',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'BAD_HTTP',
  FST_ERR_BAD_URL: 'BAD_HTTP',
}

export function problemOf(error: unknown): Problem {
  if (error instanceof Problem) return error
  const { code, statusCode } = error as Partial<FastifyError>
  const known = code === undefined ? undefined : FASTIFY[code]
  if (known !== undefined) return new Problem(known, (error as Error).message)
  if (statusCode === 400) return new Problem('BAD_HTTP', 'the request could not be read')
  return new Problem('INTERNAL', 'something went wrong here; the request id finds it in the log')
}

export function sendProblem(error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const problem = problemOf(error)
  if (problem.code === 'INTERNAL') request.log.error({ err: error }, 'internal error')
  request.problem = problem
  if (problem.retryAfter !== undefined) reply.header('retry-after', problem.retryAfter)
  if (!request.raw.complete) {
    // what is left of the body is not wanted: take it off the wire so that the client can read the answer
    reply.header('connection', 'close')
    request.raw.resume()
  }
  reply.removeHeader('content-length')
  reply.header('x-request-id', request.id).header('server-timing', String(request.timings ?? new Timings()))
  return reply
    .code(problem.status)
    .type('application/problem+json')
    .send(Buffer.from(JSON.stringify(problem.toJSON(request.id))))
}

export function registerErrors(app: FastifyInstance): void {
  app.setErrorHandler((error, request, reply) => sendProblem(error, request, reply))
  app.setNotFoundHandler((request, reply) => {
    const path = request.url.split('?')[0]
    const allowed = ['GET', 'POST', 'HEAD'].filter(method =>
      app.hasRoute({ method: method as 'GET', url: path }),
    )
    if (allowed.length === 0)
      return sendProblem(new Problem('NOT_FOUND', `no resource ${path}`), request, reply)
    reply.header('allow', allowed.join(', '))
    const detail = `expected ${allowed.join(' or ')}, got ${request.method}`
    return sendProblem(new Problem('METHOD_NOT_ALLOWED', detail), request, reply)
  })
}
