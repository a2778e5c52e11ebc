/** What is wrong where no resource takes a method: 405 with those that it does take, or 404. */
import type { FastifyInstance } from 'fastify'
import { shortened } from '../../../workers/text/json-pointer.ts'
import { Problem } from '../../problem.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** about a request that has no route */
    unrouted(method: string, url: string): Problem
  }
}

const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD'] as const

/** Of the routes that come after it. */
export function tellMethods(app: FastifyInstance): void {
  const withParameters: { method: string | string[]; path: RegExp }[] = []
  app.addHook('onRoute', ({ method, url }) => {
    if (url.includes('/:')) withParameters.push({ method, path: patternOf(url) })
  })
  app.decorate('unrouted', (method, url) => {
    const path = url.split('?')[0]
    const allowed = METHODS.filter(
      each =>
        app.hasRoute({ method: each, url: path }) ||
        withParameters.some(route => route.method.includes(each) && route.path.test(path)),
    )
    if (allowed.length === 0) return new Problem('NOT_FOUND', `no resource ${shortened(path)}`)
    const detail = `expected ${allowed.join(' or ')}, got ${shortened(method)}`
    return new Problem('METHOD_NOT_ALLOWED', detail, { headers: { allow: allowed.join(', ') } })
  })
}

/** Paths of a route, each `:parameter` being one level of any name. */
function patternOf(url: string): RegExp {
  return new RegExp(`^${url.replace(/[.*+?^${}()|[\]\\]/g, '\\$&').replace(/:\w+/g, '[^/]+')}$`)
}

/**
 * The method and the path of a request whose method Node's parser does not know, from the packet it stopped in and where:
 * undefined of whatever else is no HTTP.
 */
export function unknownMethod(packet: Buffer, place: number): { method: string; url: string } | undefined {
  const begin = packet.lastIndexOf('\n', Math.max(0, place - 1)) + 1
  const line = packet.toString('latin1', begin, begin + MOST_LINE)
  const [, method, url] = /^([!#$%&'*+.^_`|~\w-]+) (\/[^\s]*) HTTP\/1\.[01]\r\n/.exec(line) ?? []
  return method === undefined ? undefined : { method, url }
}

/** Characters of a request's first line. */
const MOST_LINE = 4096
