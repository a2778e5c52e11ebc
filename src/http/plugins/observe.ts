/** Request ids, `Server-Timing`, the log line and the metrics of every request. Never tensor contents. */
import { randomUUID } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { type Receipt, Timings } from '../../pipeline/receipt.ts'
import type { Problem } from '../../problem.ts'
import type { Metrics } from '../metrics.ts'

declare module 'fastify' {
  interface FastifyInstance {
    metrics: Metrics
  }
  interface FastifyRequest {
    /** what a compute request has taken so far */
    receipt: Receipt | undefined
    /** what it was answered with instead of a result */
    problem: Problem | undefined
  }
}

const REQUEST_ID = /^[\x21-\x7e]{1,128}$/

/** The client's `x-request-id` where it is a plain short word, else a new one. */
export function requestId(message: IncomingMessage): string {
  const given = message.headers['x-request-id']
  return typeof given === 'string' && REQUEST_ID.test(given) ? given : randomUUID()
}

/** In the form of the header `Server-Timing`; all 0 for a request that computes nothing. */
export function serverTiming(receipt: Receipt | undefined): string {
  const { decode, queue, compute, encode } = receipt?.timings ?? NOTHING
  return (
    `decode;dur=${decode.toFixed(3)}, queue;dur=${queue.toFixed(3)}, ` +
    `compute;dur=${compute.toFixed(3)}, encode;dur=${encode.toFixed(3)}`
  )
}

const NOTHING = new Timings()

export const observe = fp(
  async (app: FastifyInstance, { metrics }: { metrics: Metrics }) => {
    app.decorate('metrics', metrics)
    app.decorateRequest('receipt', undefined)
    app.decorateRequest('problem', undefined)
    app.addHook('onSend', async (request, reply) => {
      reply.header('x-request-id', request.id)
      reply.header('server-timing', serverTiming(request.receipt))
    })
    app.addHook('onResponse', async (request, reply) => {
      const route = request.routeOptions.url ?? 'none'
      const { receipt, problem } = request
      metrics.observe(route, request.method, reply.statusCode, receipt)
      if (problem !== undefined) metrics.problem(problem.code)
      const { inputs, precision, flops, bytes } = receipt?.work ?? {}
      request.log.info(
        {
          method: request.method,
          route,
          status: reply.statusCode,
          ms: Math.round(reply.elapsedTime * 1000) / 1000,
          ...(receipt?.work && { inputs, precision, flops, bytes }),
          ...(receipt && { timings: serverTiming(receipt) }),
          ...(problem && { code: problem.code, detail: problem.message.slice(0, 300) }),
        },
        'request',
      )
    })
  },
  { name: 'observe' },
)
