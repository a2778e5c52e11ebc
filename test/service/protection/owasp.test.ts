/** The OWASP API Security Top 10 (2023), one by one: what each would be here, and that it is not. */
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { readConfig } from '../../../src/config.ts'
import { PROBLEMS } from '../../../src/problem.ts'
import { attention, post, startServer } from '../server.ts'
import { StreamClient } from '../stream-client.ts'
import { handshake } from './handshake.ts'
import { addKey, bearer, folder } from './key-file.ts'

const ok = { q: [[1]], k: [[1]], v: [[1]] }
const file = join(await folder(), 'keys.json')
const [alice, bob] = [await addKey(file, { name: 'alice' }), await addKey(file, { name: 'bob' })]
const few = await addKey(file, { name: 'few', requests_per_minute: 1 })
const server = await startServer({ AUTH: 'keys', KEYS_FILE: file, THREADS: '1' })
const of =
  (key: string) =>
  (path: string, method = 'GET') =>
    fetch(server.url + path, { method, headers: bearer(key) })

/** Every route that is served, with its methods, from the tree that Fastify prints. */
function routesOf({ app }: typeof server): { path: string; methods: string[] }[] {
  const parts: string[] = []
  return app.fastify
    .printRoutes({ commonPrefix: false })
    .split('\n')
    .flatMap(line => {
      const [, indent, part, methods] = /^(.*?[├└]── )(\S*)(?: \(([^)]+)\))?/.exec(line) ?? []
      if (part === undefined) return []
      const depth = indent.length / 4 - 1
      parts.splice(depth, parts.length, part)
      return methods === undefined ? [] : [{ path: parts.join(''), methods: methods.split(', ') }]
    })
}

it('API1, broken object level authorization: a job is there for its own key alone, in every way to ask for it', async () => {
  const { status, body } = await post(
    server,
    '/v1/jobs',
    { endpoint: '/v1/attention', body: ok },
    bearer(alice),
  )
  expect(status).toBe(202)
  const path = `/v1/jobs/${body.id}`
  expect((await of(alice)(path)).status).toBe(200)
  for (const [suffix, method] of [
    ['', 'GET'],
    ['', 'DELETE'],
    ['/result', 'GET'],
    ['/events', 'GET'],
  ]) {
    const foreign = await of(bob)(path + suffix, method)
    const none = await of(bob)(`/v1/jobs/00000000-0000-0000-0000-000000000000${suffix}`, method)
    expect([suffix, foreign.status, none.status]).toEqual([suffix, 404, 404])
    await Promise.all([foreign.text(), none.text()])
  }
  // and a run for its own connection
  const [own, other] = [
    await StreamClient.open(server, undefined, bearer(alice)),
    await StreamClient.open(server, undefined, bearer(bob)),
  ]
  own.send({ type: 'start', id: 'r', stack: { layers: 1, heads: 1, init: { seed: 1 } }, x: [[1, 2]] })
  await own.ended('r')
  other.send({ type: 'fetch', id: 'r', layer: 0, head: 0, tensor: 'weights' })
  expect(await other.until(({ type }) => type === 'error')).toMatchObject({ problem: { status: 400 } })
  await Promise.all([own.close(), other.close()])
})

it('API2, broken authentication: nothing is told apart, and no credential is taken from an address', async () => {
  const refused = await Promise.all(
    [
      undefined,
      bearer('x'),
      bearer(alice.slice(0, -1)),
      { cookie: `key=${alice}` } as Record<string, string>,
    ].map(headers => post(server, '/v1/attention', ok, headers)),
  )
  const told = refused.map(({ status, body: { request_id: _id, ...body } }) => JSON.stringify([status, body]))
  expect(new Set(told).size).toBe(1)
  expect(refused[0].status).toBe(401)
  for (const query of [`?key=${alice}`, `?access_token=${alice}`, `?ticket=${alice}`]) {
    expect((await post(server, `/v1/attention${query}`, ok)).status).toBe(401)
    expect((await handshake(server, {}, query)).status).toBe(401)
  }
})

it('API3, broken object property level authorization: no field is taken that is not known, and none answered that was not asked for', async () => {
  for (const field of ['identity', 'owner', 'requestsPerMinute', 'flops_per_minute', 'constructor'])
    expect((await post(server, '/v1/attention', { ...ok, [field]: 1 }, bearer(alice))).status).toBe(400)
  const polluted = await post(
    server,
    '/v1/attention',
    '{"q":[[1]],"k":[[1]],"v":[[1]],"__proto__":{"a":1}}',
    bearer(alice),
  )
  expect(polluted.status).toBe(400)
  const answer = await post(server, '/v1/attention', ok, bearer(alice))
  expect(Object.keys(answer.body)).toEqual(['output'])
  const { body } = await post(server, '/v1/jobs', { endpoint: '/v1/attention', body: ok }, bearer(alice))
  expect(JSON.stringify(body)).not.toMatch(/alice|owner|key:/)
})

it('API4, unrestricted resource consumption: size, work and rate are bounded before anything runs', async () => {
  const huge = { shape: [1, 1, 1 << 20, 64], dtype: 'float32', base64: '' }
  const body = { q: huge, k: huge, v: huge }
  expect((await post(server, '/v1/attention', body, bearer(alice))).status).toBe(400)
  const shape = [1, 64, 100_000, 128]
  const plan = { endpoint: '/v1/attention', body: { q: { shape }, k: { shape }, v: { shape } } }
  const { status, body: told } = await post(server, '/v1/plan', plan, bearer(alice))
  expect([status, told.admitted, told.problem.status]).toEqual([200, false, 413])
  expect((await post(server, '/v1/attention', ok, bearer(few))).status).toBe(200)
  const limited = await post(server, '/v1/attention', ok, bearer(few))
  expect([limited.status, Number(limited.headers.get('retry-after')) > 0]).toEqual([429, true])
})

it('API5, broken function level authorization: every route but the public ones wants a key, by whatever method', async () => {
  const open = [
    '/v2/health/',
    '/health/live',
    '/health/ready',
    '/',
    '/assets',
    '/docs',
    '/openapi',
    '/asyncapi',
  ]
  const routes = routesOf(server)
  expect(routes.length).toBeGreaterThan(10)
  const guarded = routes.filter(({ path }) => /^\/(v\d|metrics)(?!.*\/health\/)/.test(path))
  expect(guarded.length).toBeGreaterThan(8)
  for (const { path, methods } of guarded)
    for (const method of methods.filter(each => each !== 'OPTIONS')) {
      const answer = await fetch(server.url + path.replace(/:\w+/g, 'x'), { method })
      expect([method, path, answer.status]).toEqual([method, path, 401])
      await answer.text()
    }
  // nothing that is open is more than what everybody may see
  for (const { path } of routes.filter(each => !guarded.includes(each)))
    expect(open.some(each => path === '*' || path.startsWith(each))).toBe(true)
  for (const method of ['PUT', 'DELETE', 'PATCH'])
    expect((await fetch(`${server.url}/v1/attention`, { method })).status).toBe(401)
})

it('API6, unrestricted access to sensitive business flows: one key’s use takes nothing from another’s budget, whoever shares its address', async () => {
  await post(server, '/v1/attention', ok, bearer(few))
  expect((await post(server, '/v1/attention', ok, bearer(few))).status).toBe(429)
  expect((await post(server, '/v1/attention', ok, bearer(bob))).status).toBe(200)
})

it('API7, server side request forgery: no field of a request names an address or a path', async () => {
  for (const place of ['http://127.0.0.1:1/', 'file:///etc/passwd', '../../etc/passwd', 's3://bucket/x'])
    for (const q of [
      place,
      { url: place },
      { ref: place },
      { path: place },
      { shape: [1, 1], data: place },
    ]) {
      const { status, body } = await post(server, '/v1/attention', { ...ok, q }, bearer(alice))
      // a name of kept tensors that there is none of may be a 404
      expect([400, 404]).toContain(status)
      expect(body.detail).not.toMatch(/ENOENT|ECONNREFUSED|root:/)
    }
  for (const name of ['..%2f..%2fetc', '%2fetc%2fpasswd', 'http:%2f%2f127.0.0.1'])
    expect([400, 404]).toContain((await of(alice)(`/v1/models/${name}`)).status)
})

describe('API8, security misconfiguration', () => {
  it('a network wants a decision, and an unknown setting of one is refused', () => {
    expect(() => readConfig({ HOST: '0.0.0.0' })).toThrow(/AUTH/)
    expect(() => readConfig({ HOST: '0.0.0.0', AUTH: 'yes' })).toThrow(/AUTH=yes/)
  })

  it('errors show nothing of the server, in whatever way they come about', async () => {
    const answers = await Promise.all([
      attention(server, ok),
      post(server, '/v1/attention', '{"q":', bearer(alice)),
      post(server, '/v1/attention', { q: {} }, bearer(alice)),
      post(server, '/v1/none', ok, bearer(alice)),
      post(server, '/v1/attention', ok, { ...bearer(alice), 'content-encoding': 'gzip' }),
      post(server, '/v1/attention', ok, { ...bearer(alice), 'content-type': 'text/plain' }),
    ])
    for (const { status, body, headers } of answers) {
      expect(status).toBeGreaterThanOrEqual(400)
      expect(Object.keys(PROBLEMS)).toContain(body.code)
      expect(JSON.stringify(body)).not.toMatch(/node_modules|\.ts\b|at \w+ \(|\/home\/|KEYS_FILE|attn_/)
      expect([headers.get('server'), headers.get('x-powered-by')]).toEqual([null, null])
      expect(headers.get('x-content-type-options')).toBe('nosniff')
      expect(headers.get('access-control-allow-origin')).toBeNull()
    }
  })
})

it('API9, improper inventory management: every route of the API is in its documents, and no other answers', async () => {
  const { paths } = (await (await fetch(`${server.url}/openapi.json`)).json()) as {
    paths: Record<string, object>
  }
  const served = routesOf(server).map(({ path }) => path.replace(/:(\w+)/g, '{$1}'))
  const documented = new Set([...Object.keys(paths), '/v1/stream'])
  expect(served.filter(path => path.startsWith('/v1') && !documented.has(path))).toEqual([])
  for (const path of ['/v0/attention', '/v1beta/attention', '/debug', '/admin', '/.env', '/v1/keys'])
    expect((await of(alice)(path)).status).toBe(404)
})

it('API10, unsafe consumption of APIs: a provider of identities is believed by https alone, and no other server is asked', async () => {
  expect(() => readConfig({ OIDC_ISSUER: 'http://login.example' })).toThrow(/https/)
  expect(() => readConfig({ OIDC_JWKS_URL: 'ftp://login.example/keys' })).toThrow(/https/)
})

it('no key, ticket or Authorization header is in the log, whatever has become of its request', async () => {
  const { ticket } = (await post(server, '/v1/stream-ticket', {}, bearer(alice))).body
  await handshake(server, {}, `?ticket=${ticket}`)
  await fetch(`${server.url}/v1/none?key=${alice}`, { headers: bearer(bob) })
  await post(server, '/v1/attention', { ...ok, [alice]: alice }, { authorization: `Bearer ${bob}x` })
  const log = server.log.join('')
  for (const secret of [alice, bob, few].map(key => key.slice(-43)).concat(ticket))
    expect(log).not.toContain(secret)
  expect(log).not.toContain('"authorization"')
})
