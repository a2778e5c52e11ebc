/** Every failure becomes RFC 9457 problem+json, once, here: what plugins throw, and what never became a request. */
import type { Socket } from 'node:net'
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { shortened } from '../../../workers/text/json-pointer.ts'
import { Problem, type ProblemCode, problemOf } from '../../problem.ts'
import { serverTiming } from './observe.ts'

/** Fastify's own failures, by their codes. */
const FASTIFY: Record<string, ProblemCode> = {
  FST_ERR_CTP_BODY_TOO_LARGE: 'BODY_TOO_LARGE',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'UNSUPPORTED_MEDIA_TYPE',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'BAD_HTTP',
  FST_ERR_BAD_URL: 'BAD_HTTP',
}

/** Characters of the framework's own messages, which may quote a path. */
const MOST_MESSAGE = 64

export const errors = fp(
  async (app: FastifyInstance) => {
    app.setErrorHandler(sendProblem)
    app.setNotFoundHandler((request, reply) => {
      const path = request.url.split('?')[0]
      const allowed = ['GET', 'POST', 'HEAD'].filter(method =>
        app.hasRoute({ method: method as 'GET', url: path }),
      )
      if (allowed.length === 0) throw new Problem('NOT_FOUND', `no resource ${shortened(path)}`)
      reply.header('allow', allowed.join(', '))
      throw new Problem('METHOD_NOT_ALLOWED', `expected ${allowed.join(' or ')}, got ${request.method}`)
    })
  },
  { name: 'errors', dependencies: ['observe'] },
)

export function sendProblem(error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const { code, statusCode, message } = error as Partial<FastifyError>
  const known = code === undefined ? undefined : FASTIFY[code]
  // a range that a file does not have, a precondition that it does not meet: whatever the framework holds against a request
  const unreadable = isFault(statusCode) && !(error instanceof Problem)
  const problem =
    known !== undefined
      ? new Problem(known, shortened(message ?? '', MOST_MESSAGE))
      : unreadable
        ? new Problem('BAD_HTTP', 'the request could not be read')
        : problemOf(error)
  if (problem.code === 'INTERNAL') request.log.error({ err: error }, 'internal error')
  request.problem = problem
  if (problem.retryAfter !== undefined) reply.header('retry-after', problem.retryAfter)
  if (!request.raw.complete) {
    // what is left of the body is not wanted: take it off the wire so that the client can read the answer
    reply.header('connection', 'close')
    request.raw.resume()
  }
  reply.removeHeader('content-length')
  // a failure of the framework itself passes by the hooks
  reply.header('x-request-id', request.id).header('server-timing', serverTiming(request.receipt))
  return reply
    .code(problem.status)
    .type('application/problem+json')
    .send(Buffer.from(JSON.stringify(problem.toJSON(request.id))))
}

function isFault(status: number | undefined): boolean {
  return status !== undefined && status >= 400 && status < 500
}

/** What Node's HTTP parser refuses never becomes a request: answered on the socket, in the same form. */
export function answerClientError(error: Error & { code?: string }, socket: Socket): void {
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
