/**
 * Requests that come faster than they can be answered are refused at their head, before the framework sees them: at a part of what
 * it costs to serve one, so that those that are taken are answered soon.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { FastifyBaseLogger } from 'fastify'
import { freeNow } from '../../pipeline/growing-body.ts'
import { Problem } from '../../problem.ts'
import { headersFor } from '../origins.ts'
import { inferenceError, isInferencePath } from './errors.ts'
import { takeIn } from './linger.ts'
import { isOperational, type Metrics, requestId, serverTiming } from './observe.ts'

/** Milliseconds between two lines of the log about it. */
const LOG_MS = 1000
/** A client that asks again at once waits so long for its next refusal: refusing would take this thread's whole time. */
const PACE_MS = 250
/** A longer body ends its connection: a new one costs less than to take it in. */
const LONG_BODY = 512 * 1024
/** Time in which clients that read their answer leave: of such a body nothing is read meanwhile. */
const PATIENCE_MS = 500
/** Time in which what the others go on to send is taken in. */
const LINGER_MS = 1000
const BUSY = new Problem('BUSY', 'more requests come than this server can answer soon', { retryAfter: 1 })

export interface RefuseOptions {
  logger: FastifyBaseLogger
  metrics: Metrics
  lingerBytes: number
  /** pages that may read answers */
  origins: readonly string[]
  /** while it leaves, each answer ends its connection: that is the framework's */
  leaving(): boolean
}

/** Says whether it has answered. */
export function refuseAtHead({ logger, metrics, lingerBytes, origins, leaving }: RefuseOptions) {
  let [refused, logged] = [0, Number.NEGATIVE_INFINITY]
  return (message: IncomingMessage, response: ServerResponse): boolean => {
    const { url = '', method = '' } = message
    // a preflight is the browser's, which would not send the request behind it
    if (isOperational(url) || method === 'OPTIONS' || leaving()) return false
    answer(message, response, { lingerBytes, origins })
    metrics.observe('none', method, BUSY.status, undefined)
    metrics.problem(BUSY.code)
    refused++
    const now = performance.now()
    if (now - logged < LOG_MS) return true
    logger.warn({ refused, code: BUSY.code }, 'requests refused at their head')
    logged = now
    refused = 0
    return true
  }
}

function answer(
  message: IncomingMessage,
  response: ServerResponse,
  { lingerBytes, origins }: Pick<RefuseOptions, 'lingerBytes' | 'origins'>,
): void {
  const id = requestId(message)
  const fields = BUSY.toJSON(id)
  const text = JSON.stringify(isInferencePath(message.url ?? '') ? inferenceError(fields) : fields)
  const { 'content-length': length, 'transfer-encoding': chunked } = message.headers
  const long = chunked !== undefined || Number(length) > LONG_BODY
  response.writeHead(BUSY.status, {
    'content-type': 'application/problem+json',
    'content-length': String(Buffer.byteLength(text)),
    'retry-after': '1',
    'x-request-id': id,
    'server-timing': serverTiming(undefined),
    'x-content-type-options': 'nosniff',
    ...headersFor(message.headers.origin, origins),
    ...(long && { connection: 'close' }),
  })
  if (long) {
    response.write(text)
    message.pause()
    const takeRest = () => void takeIn(message, lingerBytes, LINGER_MS).then(() => response.end())
    const clock = setTimeout(takeRest, PATIENCE_MS)
    message.once('close', () => clearTimeout(clock))
  } else {
    message.on('data', freeNow)
    const clock = setTimeout(() => response.end(text), PACE_MS)
    response.once('close', () => clearTimeout(clock))
  }
}
