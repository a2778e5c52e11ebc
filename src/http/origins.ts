/** Which web pages may read answers (`CORS_ORIGINS`, closed without) and open streams (those, and the page's own origin). */
import cors from '@fastify/cors'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { Problem } from '../problem.ts'

/** Headers of answers that pages may see. */
const EXPOSED = [
  'content-encoding',
  'etag',
  'location',
  'ratelimit-limit',
  'ratelimit-remaining',
  'ratelimit-reset',
  'repr-digest',
  'retry-after',
  'server-timing',
  'traceresponse',
  'x-request-id',
]

/** Preflights are answered before anybody is asked for a key: browsers send none with them. */
export const origins = fp(
  async (app: FastifyInstance, { allowed }: { allowed: readonly string[] }) => {
    if (allowed.length === 0) return
    await app.register(cors, {
      origin: allowed.includes('*') ? '*' : [...allowed],
      methods: ['GET', 'HEAD', 'POST', 'PUT', 'DELETE'],
      exposedHeaders: EXPOSED,
      maxAge: 600,
      strictPreflight: false,
    })
  },
  { name: 'origins', dependencies: ['errors', 'observe', 'drain'] },
)

/** Of an answer that the framework has not seen: whether the page that asked may read it. */
export function headersFor(origin: string | undefined, allowed: readonly string[]): Record<string, string> {
  if (allowed.length === 0) return {}
  const all = allowed.includes('*')
  const may = all ? '*' : origin !== undefined && allowed.includes(origin) ? origin : undefined
  return {
    ...(!all && { vary: 'Origin' }),
    ...(may !== undefined && {
      'access-control-allow-origin': may,
      'access-control-expose-headers': EXPOSED.join(', '),
    }),
  }
}

/** Browsers let any page open a WebSocket, and say whose it is; others say nothing. */
export function checkOrigin({ headers }: FastifyRequest, allowed: readonly string[]): void {
  const { origin, host } = headers
  if (origin === undefined || allowed.includes('*') || allowed.includes(origin)) return
  // before whatever ends TLS the page's scheme is another than ours
  if (URL.canParse(origin) && new URL(origin).host === host?.toLowerCase()) return
  throw new Problem(
    'FORBIDDEN',
    'expected a page of this origin or of CORS_ORIGINS, got one of another origin',
  )
}
