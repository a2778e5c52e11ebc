/**
 * By which names web pages may reach a service that asks nobody for a key (`ALLOWED_HOSTS`). A page of any name that its owner lets
 * point at this machine (DNS rebinding) would else be a page of this server to its browser, and read and compute as its reader does.
 * Addresses cannot be pointed elsewhere, and a name that came over TLS has a certificate: neither is held against a request.
 */
import { isIP } from 'node:net'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { shortened } from '../../workers/text/json-pointer.ts'
import { Problem } from '../problem.ts'

/** `names`: beside localhost and addresses; undefined where every name will do. */
export const hosts = fp(
  async (app: FastifyInstance, { names }: { names: readonly string[] | undefined }) => {
    if (names === undefined || names.includes('*')) return
    app.addHook('onRequest', (request, _reply, done) => {
      done(isOfPlainPage(request) ? refusalOf(request.headers.host, names) : undefined)
    })
  },
  { name: 'hosts', dependencies: ['errors', 'observe', 'drain'] },
)

/**
 * Whether a browser has sent it for a page that came without TLS. Browsers name the page's origin with all but reads, and say how it
 * relates to us (`Sec-Fetch-Site`, which no page can set) only where the connection is one to be trusted.
 */
function isOfPlainPage({ headers }: FastifyRequest): boolean {
  const { origin, 'sec-fetch-site': site, 'user-agent': agent } = headers
  if (origin !== undefined) return !origin.startsWith('https://')
  return site === undefined && agent !== undefined && agent.startsWith('Mozilla/')
}

function refusalOf(host = '', names: readonly string[]): Problem | undefined {
  const name = host.replace(/:\d*$/, '').replace(/\.$/, '').toLowerCase()
  if (name === 'localhost' || name.endsWith('.localhost') || isIP(name.replace(/^\[|\]$/g, '')) > 0)
    return undefined
  if (names.includes(name)) return undefined
  return new Problem(
    'FORBIDDEN',
    `expected a page of localhost, of an address or of a name in ALLOWED_HOSTS, got one of ${shortened(host)}`,
  )
}
