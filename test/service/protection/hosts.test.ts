/** DNS rebinding: on loopback, without keys, pages of names that are not this server's are refused; everybody else is not. */
import { describe, expect, it } from 'vitest'
import { hostNames, readConfig } from '../../../src/config.ts'
import { post, type Server, startServer } from '../server.ts'
import { handshake } from './handshake.ts'
import { addKey, bearer, folder } from './key-file.ts'

const ok = { q: [[1]], k: [[1]], v: [[1]] }
const agent = 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/147.0.0.0 Safari/537.36'
const open = await startServer({ THREADS: '1' })
const named = await startServer({ THREADS: '1', ALLOWED_HOSTS: 'attention.example, Other.Example' })

const ask = (of: Server, headers: Record<string, string>) => post(of, '/v1/attention', ok, headers)
const read = async (of: Server, headers: Record<string, string>) =>
  (await post(of, '/v1/none', ok, headers)).status

describe('a page of a name that points here', () => {
  it.each(['evil.example', 'evil.example:8080', 'localhost.evil.example', '127.0.0.1.evil.example', 'evil'])(
    '%s computes nothing, reads nothing and opens no stream',
    async host => {
      const { status, body } = await ask(open, { host, origin: `http://${host}` })
      expect([status, body.code]).toEqual([403, 'FORBIDDEN'])
      expect(body.detail).toContain('ALLOWED_HOSTS')
      expect(await read(open, { host, 'user-agent': agent })).toBe(403)
      // what is asked for without telling whose page it is for
      expect((await ask(open, { host, origin: 'null' })).status).toBe(403)
      expect(await handshake(open, { host, origin: `http://${host}` })).toMatchObject({ status: 403 })
    },
  )

  it('is told so in problem+json, counted and logged', async () => {
    const answer = await ask(open, { host: 'evil.example', origin: 'http://evil.example' })
    expect(answer.headers.get('content-type')).toContain('application/problem+json')
    expect(open.log.join('')).toContain('"code":"FORBIDDEN"')
  })
})

describe('is held against nobody', () => {
  const { host } = new URL(open.url)

  it.each([
    'localhost:8080',
    'app.localhost',
    'LOCALHOST',
    '127.0.0.1',
    '127.9.9.9:80',
    '[::1]:8080',
    '10.0.0.7',
  ])('at %s', async host => {
    expect((await ask(open, { host, origin: `http://${host}` })).status).toBe(200)
    expect(await read(open, { host, 'user-agent': agent })).toBe(404)
  })

  it('who is no browser: proxies name what they like', async () => {
    expect((await ask(open, { host: 'replicas' })).status).toBe(200)
    expect((await ask(open, { host: 'replicas', 'user-agent': 'curl/8.5.0' })).status).toBe(200)
    expect(await handshake(open, { host: 'replicas' })).toEqual({ status: 101 })
  })

  it('whose page came over TLS, which ends before us', async () => {
    const page = { host: 'attention.example', origin: 'https://attention.example' }
    expect((await ask(open, page)).status).toBe(200)
    expect(await handshake(open, page)).toEqual({ status: 101 })
    expect(await read(open, { host: 'a.example', 'user-agent': agent, 'sec-fetch-site': 'none' })).toBe(404)
  })

  it('whose page is another’s: that is for CORS to say', async () => {
    const answer = await ask(open, { host, origin: 'http://evil.example' })
    expect([answer.status, answer.headers.get('access-control-allow-origin')]).toEqual([200, null])
  })
})

describe('ALLOWED_HOSTS', () => {
  it('lets names in, and no others', async () => {
    for (const host of ['attention.example', 'ATTENTION.example:8080', 'other.example.'])
      expect((await ask(named, { host, origin: `http://${host}` })).status).toBe(200)
    expect((await ask(named, { host: 'evil.example', origin: 'http://evil.example' })).status).toBe(403)
  })

  it('is asked for on loopback without keys alone, unless it is set', async () => {
    const names = (env: Record<string, string>) => hostNames(readConfig(env))
    expect(names({})).toEqual([])
    expect(names({ HOST: '0.0.0.0', AUTH: 'off' })).toBeUndefined()
    expect(names({ AUTH: 'keys', KEYS_FILE: 'f' })).toBeUndefined()
    expect(names({ HOST: '0.0.0.0', AUTH: 'off', ALLOWED_HOSTS: 'a.example' })).toEqual(['a.example'])
    const file = `${await folder()}/keys.json`
    const key = await addKey(file, { name: 'k' })
    const guarded = await startServer({ THREADS: '1', AUTH: 'keys', KEYS_FILE: file })
    const page = { host: 'evil.example', origin: 'http://evil.example' }
    expect((await ask(guarded, { ...page, ...bearer(key) })).status).toBe(200)
    expect((await ask(guarded, page)).status).toBe(401)
  })

  it('* lets every name in', async () => {
    const any = await startServer({ THREADS: '1', ALLOWED_HOSTS: '*' })
    expect((await ask(any, { host: 'evil.example', origin: 'http://evil.example' })).status).toBe(200)
  })

  it.each(['http://a.example', 'a.example:80', 'a..example', 'a.example/', '-a'])(
    '%s is refused',
    ALLOWED_HOSTS => expect(() => readConfig({ ALLOWED_HOSTS })).toThrow(/expected names/),
  )
})
