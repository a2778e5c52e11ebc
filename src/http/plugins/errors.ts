/** Every failure becomes RFC 9457 problem+json, once, here: what plugins throw, and what never became a request. */
import { randomUUID } from 'node:crypto'
import { createRequire } from 'node:module'
import type { Socket } from 'node:net'
import type { FastifyBaseLogger, FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { shortened } from '../../../workers/text/json-pointer.ts'
import { Problem, type ProblemCode, problemOf } from '../../problem.ts'
import { isAnswered, lingering } from './linger.ts'
import { tellMethods, unknownMethod } from './methods.ts'
import { type Metrics, serverTiming } from './observe.ts'

// imported as a module of its own, Node would load all that it exports, its fetch and WebSocket too: 25 ms and 16 MB
const { maxHeaderSize, STATUS_CODES }: typeof import('node:http') = createRequire(import.meta.url)(
  'node:http',
)

/** Fastify's own failures, by their codes. */
const FASTIFY: Record<string, ProblemCode> = {
  FST_ERR_CTP_BODY_TOO_LARGE: 'BODY_TOO_LARGE',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'UNSUPPORTED_MEDIA_TYPE',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'BAD_HTTP',
  FST_ERR_BAD_URL: 'BAD_HTTP',
}

/** A QUERY without a type, which no resource takes with one either. */
const NO_ROUTE = 'FST_ERR_ROUTE_MISSING_CONTENT_TYPE'

/** Characters of the framework's own messages, which may quote a path. */
const MOST_MESSAGE = 64

declare module 'fastify' {
  interface FastifyInstance {
    /** bytes of a refused request's body that are taken in */
    lingerBytes: number
  }
  interface FastifyRequest {
    /** its client shows the text of no error but those whose type is `application/json` */
    plainErrors: boolean
  }
}

export interface ErrorOptions {
  lingerBytes: number
  /** whether paths without a resource are the service's to answer */
  notFound?: boolean
}

export const errors = fp(
  async (app: FastifyInstance, { lingerBytes, notFound = true }: ErrorOptions) => {
    app.decorate('lingerBytes', lingerBytes)
    app.decorateRequest('plainErrors', false)
    app.setErrorHandler(sendProblem)
    tellMethods(app)
    if (!notFound) return
    app.setNotFoundHandler(({ method, url }) => {
      throw app.unrouted(method, url)
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
    code === NO_ROUTE
      ? request.server.unrouted(request.method, request.url)
      : known !== undefined
        ? new Problem(known, shortened(message ?? '', MOST_MESSAGE))
        : unreadable
          ? new Problem('BAD_HTTP', 'the request could not be read')
          : problemOf(error)
  if (problem.code === 'INTERNAL') request.log.error({ err: error }, 'internal error')
  request.problem = problem
  if (problem.retryAfter !== undefined) reply.header('retry-after', problem.retryAfter)
  reply.headers(problem.headers).removeHeader('content-length')
  // a failure of the framework itself passes by the hooks
  reply.header('x-request-id', request.id).header('server-timing', serverTiming(request.receipt))
  const fields = problem.toJSON(request.id)
  const answer = Buffer.from(JSON.stringify(isInference(request) ? inferenceError(fields) : fields))
  reply.code(problem.status).type(request.plainErrors ? 'application/json' : 'application/problem+json')
  if (request.raw.complete) return reply.send(answer)
  if (problem.code === 'BODY_TIMEOUT') {
    // it is not worth waiting for
    request.raw.resume()
    return reply.header('connection', 'close').send(answer)
  }
  reply.header('content-length', answer.length)
  return reply.send(lingering(answer, request.raw, request.server.lingerBytes))
}

/** Throws it, unless the answer has begun: then its client sees that it is not whole, and the log says why. */
export function breakOff(error: unknown, request: FastifyRequest, reply: FastifyReply): void {
  if (!reply.raw.headersSent) throw error
  request.problem = problemOf(error)
  if (request.problem.code === 'INTERNAL') request.log.error({ err: error }, 'internal error')
  reply.raw.destroy()
}

/** Paths of the Open Inference Protocol. */
const INFERENCE = /^\/v2(\/|\?|$)/

export function isInferencePath(path: string): boolean {
  return INFERENCE.test(path)
}

/** In another's Fastify there is a prefix. */
function isInference({ url, server: { prefix } }: FastifyRequest): boolean {
  return isInferencePath(url.slice(prefix.length))
}

/** Its clients read `error`. */
export function inferenceError(fields: ReturnType<Problem['toJSON']>) {
  return { ...fields, error: fields.detail }
}

function isFault(status: number | undefined): boolean {
  return status !== undefined && status >= 400 && status < 500
}

/** What Node's HTTP parser refuses, by its codes; all else is malformed. */
const REFUSED: Record<string, { problem: ProblemCode; detail: string }> = {
  ERR_HTTP_REQUEST_TIMEOUT: { problem: 'BODY_TIMEOUT', detail: 'the request did not arrive in time' },
  HPE_HEADER_OVERFLOW: {
    problem: 'HEADERS_TOO_LARGE',
    detail: `expected a head of at most ${maxHeaderSize} bytes, got a larger one`,
  },
}

/** What Node says of what it could not read. */
interface ClientError extends Error {
  code?: string
  rawPacket?: unknown
  bytesParsed?: number
}

/** Connections that are over without a request and are answered in one turn of the event loop: thousands may be over at once. */
const LATE_IN_TURN = 8

/** What never becomes a request is answered on the socket, in the same form, and told where requests are. */
export function clientErrors(
  logger: FastifyBaseLogger,
  metrics: Metrics,
  unrouted: FastifyInstance['unrouted'],
) {
  const answer = (error: ClientError, socket: Socket): void => {
    if (error.code === 'ECONNRESET' || socket.destroyed || !socket.writable || isAnswered(socket)) {
      socket.destroy()
      return
    }
    const problem = refusal(error, unrouted)
    const { code, message: detail } = problem
    const id = randomUUID()
    const body = JSON.stringify(problem.toJSON(id))
    const head = [
      `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status]}`,
      'content-type: application/problem+json',
      `content-length: ${Buffer.byteLength(body)}`,
      `x-request-id: ${id}`,
      ...Object.entries(problem.headers).map(([name, value]) => `${name}: ${value}`),
      'connection: close',
    ]
    socket.end(`${head.join('\r\n')}\r\n\r\n${body}`)
    metrics.observe('none', 'none', problem.status, undefined)
    metrics.problem(code)
    logger.info({ reqId: id, status: problem.status, code, detail }, 'request refused')
  }
  const late: [ClientError, Socket][] = []
  const answerLate = () => {
    for (const each of late.splice(0, LATE_IN_TURN)) answer(...each)
    if (late.length > 0) setImmediate(answerLate)
  }
  return (error: ClientError, socket: Socket): void => {
    if (error.code !== 'ERR_HTTP_REQUEST_TIMEOUT') answer(error, socket)
    else if (late.push([error, socket]) === 1) setImmediate(answerLate)
  }
}

function refusal(
  { code = 'unknown', rawPacket, bytesParsed = 0 }: ClientError,
  unrouted: FastifyInstance['unrouted'],
) {
  const isMethod = code === 'HPE_INVALID_METHOD' && Buffer.isBuffer(rawPacket)
  const unknown = isMethod ? unknownMethod(rawPacket, bytesParsed) : undefined
  if (unknown) return unrouted(unknown.method, unknown.url)
  const { problem, detail } = REFUSED[code] ?? {
    problem: 'BAD_HTTP' as const,
    detail: `the HTTP request is malformed (${code})`,
  }
  return new Problem(problem, detail)
}
