/** Paths of the service as its clients reach them: below a prefix of a proxy, of somebody's own Fastify, or of both. */
import type { FastifyRequest } from 'fastify'

/** Plain names, none of them `.` or `..`: whatever else stands in the header is nobody's prefix. */
const PLAIN = /^(\/(?!\.{1,2}(\/|$))[\w.~-]+)+$/

/** `path`: of one of our own routes, from its `/` on. */
export function outerPath(request: FastifyRequest, path: string): string {
  return ofProxy(request) + ofHost(request) + path
}

/** What a proxy has taken off the path. */
function ofProxy({ headers }: FastifyRequest): string {
  const prefix = headers['x-forwarded-prefix']
  return typeof prefix === 'string' && PLAIN.test(prefix) ? prefix : ''
}

/** As it was asked for: a prefix may have parameters. */
function ofHost({ url, server }: FastifyRequest): string {
  const levels = server.prefix.split('/').length
  const path = url.replace(/^https?:\/\/[^/]*/i, '').replace(/\/+/g, '/')
  return path.split('/').slice(0, levels).join('/')
}
