/** Web pages of other origins: closed but for `CORS_ORIGINS`, for answers and for the WebSocket; and what browsers are told. */
import { describe, expect, it } from 'vitest'
import { readConfig } from '../../../src/config.ts'
import { attention, post, type Server, startServer } from '../server.ts'
import { handshake } from './handshake.ts'
import { addKey, bearer, folder } from './key-file.ts'

const ok = { q: [[1]], k: [[1]], v: [[1]] }
const friend = 'https://friend.example'
const foreign = 'https://evil.example'
const file = `${await folder()}/keys.json`
const key = await addKey(file, { name: 'k' })
const closed = await startServer({ THREADS: '1' })
const listed = await startServer({
  THREADS: '1',
  CORS_ORIGINS: `http://localhost:3000, ${friend}`,
  AUTH: 'keys',
  KEYS_FILE: file,
})

const preflight = (of: Server, origin: string) =>
  fetch(`${of.url}/v1/attention`, {
    method: 'OPTIONS',
    headers: {
      origin,
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'authorization,content-type',
    },
  })

describe('answers', () => {
  it('have no CORS headers where CORS_ORIGINS is not set', async () => {
    const answer = await post(closed, '/v1/attention', ok, { origin: foreign })
    expect(answer.status).toBe(200)
    expect([...answer.headers.keys()].filter(name => name.startsWith('access-control'))).toEqual([])
    expect((await preflight(closed, foreign)).status).toBeGreaterThanOrEqual(400)
  })

  it('are for listed origins alone, refusals too', async () => {
    for (const [headers, status] of [
      [bearer(key), 200],
      [{}, 401],
    ] as const) {
      const answer = await post(listed, '/v1/attention', ok, { ...headers, origin: friend })
      expect(answer.status).toBe(status)
      expect(answer.headers.get('access-control-allow-origin')).toBe(friend)
      expect(answer.headers.get('access-control-expose-headers')).toContain('retry-after')
      expect(answer.headers.get('access-control-allow-credentials')).toBeNull()
      expect(answer.headers.get('vary')).toMatch(/origin/i)
    }
    const other = await post(listed, '/v1/attention', ok, { ...bearer(key), origin: foreign })
    expect(other.headers.get('access-control-allow-origin')).toBeNull()
  })

  it('to preflights need no key', async () => {
    const answer = await preflight(listed, friend)
    expect(answer.status).toBe(204)
    expect(answer.headers.get('access-control-allow-origin')).toBe(friend)
    expect(answer.headers.get('access-control-allow-headers')).toBe('authorization,content-type')
    expect((await preflight(listed, foreign)).headers.get('access-control-allow-origin')).toBeNull()
  })
})

describe('the WebSocket', () => {
  it('is for pages of the same origin, and for what is no browser', async () => {
    const { host } = new URL(closed.url)
    expect(await handshake(closed, {})).toEqual({ status: 101 })
    for (const origin of [closed.url, `https://${host}`])
      expect(await handshake(closed, { origin })).toEqual({ status: 101 })
    expect(await handshake(closed, { origin: 'https://stream.example', host: 'stream.example' })).toEqual({
      status: 101,
    })
  })

  it.each([foreign, friend, 'null', 'http://127.0.0.1:1', 'file://'])(
    'is refused to pages of %s',
    async origin => {
      const refused = {
        status: 403,
        type: expect.stringContaining('application/problem+json'),
        code: 'FORBIDDEN',
      }
      expect(await handshake(closed, { origin })).toMatchObject(refused)
    },
  )

  it('is for those of CORS_ORIGINS', async () => {
    expect(await handshake(listed, { ...bearer(key), origin: friend })).toEqual({ status: 101 })
    expect(await handshake(listed, { ...bearer(key), origin: foreign })).toMatchObject({ status: 403 })
    expect(await handshake(listed, { origin: friend })).toMatchObject({ status: 401, code: 'UNAUTHORIZED' })
    const any = await startServer({ THREADS: '1', CORS_ORIGINS: '*' })
    expect(await handshake(any, { origin: foreign })).toEqual({ status: 101 })
    expect(
      (await post(any, '/v1/attention', ok, { origin: foreign })).headers.get('access-control-allow-origin'),
    ).toBe('*')
  })
})

it.each(['friend.example', 'https://friend.example/', 'https://friend.example/a', 'null', 'https://a, b'])(
  'CORS_ORIGINS=%s is refused',
  CORS_ORIGINS => expect(() => readConfig({ CORS_ORIGINS })).toThrow(/expected origins/),
)

describe('browsers are told', () => {
  it('of the page and the documents: the strict policy, no framing, no sniffing', async () => {
    for (const path of ['/', '/docs/', '/openapi.json']) {
      const { headers } = await fetch(closed.url + path)
      expect(headers.get('content-security-policy')).toMatch(/^default-src 'none';.*frame-ancestors 'none'$/)
      expect(headers.get('content-security-policy')).not.toContain('unsafe')
      expect(Object.fromEntries(headers)).toMatchObject({
        'x-content-type-options': 'nosniff',
        'x-frame-options': 'DENY',
        'referrer-policy': 'no-referrer',
        'cross-origin-opener-policy': 'same-origin',
        'cross-origin-resource-policy': 'same-origin',
        'x-permitted-cross-domain-policies': 'none',
      })
    }
  })

  it('of every answer: no sniffing', async () => {
    expect((await attention(closed, ok)).headers.get('x-content-type-options')).toBe('nosniff')
    expect((await attention(listed, ok)).headers.get('x-content-type-options')).toBe('nosniff')
  })
})
