/** `AUTH=oidc`: tokens of a provider on loopback, right and wrong in every part. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import * as jose from 'jose'
import { afterAll, describe, expect, it } from 'vitest'
import { readConfig } from '../../../src/config.ts'
import { post, startServer } from '../server.ts'
import { handshake } from './handshake.ts'
import { bearer } from './key-file.ts'

const ok = { q: [[1]], k: [[1]], v: [[1]] }
const ours = await jose.generateKeyPair('ES256')
const later = await jose.generateKeyPair('RS256')
const stranger = await jose.generateKeyPair('ES256')

/** A provider; `down` makes it answer nothing of use. */
const asked: string[] = []
let down = false
let published = [{ ...(await jose.exportJWK(ours.publicKey)), kid: 'a', alg: 'ES256' }]
const provider = createServer((request, response) => {
  asked.push(request.url ?? '')
  if (down) return response.writeHead(500).end()
  const keys = request.url === '/keys'
  response.end(JSON.stringify(keys ? { keys: published } : { issuer: claimed, jwks_uri: `${issuer}/keys` }))
})
await new Promise<void>(resolve => provider.listen(0, '127.0.0.1', resolve))
afterAll(() => provider.close())
const issuer = `http://127.0.0.1:${(provider.address() as AddressInfo).port}`
/** the issuer that the discovery document names */
let claimed = issuer

const settings = { AUTH: 'oidc', OIDC_ISSUER: issuer, OIDC_AUDIENCE: 'attention', THREADS: '1' }
const server = await startServer(settings)

interface Token {
  key?: CryptoKey
  header?: Partial<jose.JWTHeaderParameters>
  claims?: jose.JWTPayload
}

function token({ key = ours.privateKey, header = {}, claims = {} }: Token = {}): Promise<string> {
  const now = Math.floor(Date.now() / 1000)
  return new jose.SignJWT({ iss: issuer, aud: 'attention', sub: 'alice', exp: now + 60, ...claims })
    .setProtectedHeader({ alg: 'ES256', kid: 'a', ...header })
    .sign(key)
}
const ask = async (text: string | Promise<string>, of = server) =>
  post(of, '/v1/attention', ok, bearer(await text))

describe('a token', () => {
  it('of the provider for this service is a key, also of a stream; its keys are fetched once', async () => {
    expect((await ask(token())).status).toBe(200)
    expect((await ask(token({ claims: { aud: ['other', 'attention'] } }))).status).toBe(200)
    expect((await handshake(server, bearer(await token()))).status).toBe(101)
    const { ticket } = (await post(server, '/v1/stream-ticket', {}, bearer(await token()))).body
    expect((await handshake(server, {}, `?ticket=${ticket}`)).status).toBe(101)
    expect(asked).toEqual(['/.well-known/openid-configuration', '/keys'])
    expect(server.log.join('')).toContain('"key":"alice"')
  })

  it.each<[string, () => Promise<string> | string]>([
    ['none', () => 'x'],
    ['signed by a stranger', () => token({ key: stranger.privateKey })],
    ['of another issuer', () => token({ claims: { iss: 'https://evil.example' } })],
    ['for another service', () => token({ claims: { aud: 'other' } })],
    ['for nobody', () => token({ claims: { aud: undefined } })],
    ['that has expired', () => token({ claims: { exp: Math.floor(Date.now() / 1000) - 60 } })],
    ['that never ends', () => token({ claims: { exp: undefined } })],
    ['that begins later', () => token({ claims: { nbf: Math.floor(Date.now() / 1000) + 60 } })],
    ['of nobody', () => token({ claims: { sub: undefined } })],
    ['with an unknown key', () => token({ header: { kid: 'zzz' } })],
    [
      'without a signature',
      async () => new jose.UnsecuredJWT({ iss: issuer, aud: 'attention', sub: 'a', exp: 2e9 }).encode(),
    ],
    [
      'signed with the public key as a secret',
      async () =>
        new jose.SignJWT({ iss: issuer, aud: 'attention', sub: 'a', exp: 2e9 })
          .setProtectedHeader({ alg: 'HS256', kid: 'a' })
          .sign(new TextEncoder().encode(await jose.exportSPKI(ours.publicKey))),
    ],
    [
      'whose claims were changed',
      async () => {
        const [head, , signature] = (await token()).split('.')
        const claims = { iss: issuer, aud: 'attention', sub: 'admin', exp: 2e9 }
        return [head, Buffer.from(JSON.stringify(claims)).toString('base64url'), signature].join('.')
      },
    ],
  ])('%s: the 401 that tells nothing', async (_name, make) => {
    const { status, body, headers } = await ask(await make())
    expect([status, headers.get('www-authenticate')]).toEqual([401, 'Bearer'])
    expect(body).toMatchObject({
      code: 'UNAUTHORIZED',
      detail: 'expected `Authorization: Bearer` with a valid key',
    })
  })
})

describe('budgets of tokens', () => {
  it('are settings, for each who has one: requests and FLOPs', async () => {
    const of = await startServer({ ...settings, OIDC_REQUESTS_PER_MINUTE: '2', OIDC_FLOPS_PER_MINUTE: '1e9' })
    const [alice, bob] = [token(), token({ claims: { sub: 'bob' } })]
    expect((await ask(alice, of)).headers.get('ratelimit-remaining')).toBe('1')
    // another token of the same
    expect((await ask(token({ claims: { jti: '2' } }), of)).status).toBe(200)
    const { status, body, headers } = await ask(alice, of)
    expect([status, body.code, Number(headers.get('retry-after')) > 0]).toEqual([429, 'RATE_LIMITED', true])
    expect((await ask(bob, of)).status).toBe(200)
    const few = await startServer({ ...settings, OIDC_FLOPS_PER_MINUTE: '1' })
    expect(await ask(alice, few)).toMatchObject({ status: 429, body: { code: 'RATE_LIMITED' } })
    expect((await ask(alice, few)).headers.get('ratelimit-limit')).toBe('1')
  })

  it('are none without them', async () => {
    const { status, headers } = await ask(token())
    expect([status, headers.get('ratelimit-limit')]).toEqual([200, null])
  })
})

describe('the provider', () => {
  it('may be named by its keys alone, and rotate them', async () => {
    const of = await startServer({ ...settings, OIDC_JWKS_URL: `${issuer}/keys` })
    asked.length = 0
    published = [{ ...(await jose.exportJWK(later.publicKey)), kid: 'b', alg: 'RS256' }]
    expect((await ask(token({ key: later.privateKey, header: { alg: 'RS256', kid: 'b' } }), of)).status).toBe(
      200,
    )
    expect((await ask(token(), of)).status).toBe(401)
    expect(asked).toEqual(['/keys'])
  })

  it('being away is a 503, and tokens are good when it is back', async () => {
    const of = await startServer(settings)
    down = true
    const { status, body, headers } = await ask(token(), of)
    expect([status, body.code, headers.get('retry-after')]).toEqual([503, 'BUSY', '5'])
    // what is no token asks it for nothing
    asked.length = 0
    expect([(await ask('x', of)).status, asked]).toEqual([401, []])
    down = false
    expect((await ask(token({ key: later.privateKey, header: { alg: 'RS256', kid: 'b' } }), of)).status).toBe(
      200,
    )
  })

  it('whose document is another’s is not believed', async () => {
    claimed = 'https://evil.example'
    const of = await startServer(settings)
    expect((await ask(token({ key: later.privateKey, header: { alg: 'RS256', kid: 'b' } }), of)).status).toBe(
      503,
    )
    claimed = issuer
  })

  it('must be named, and by https unless it is on this machine', () => {
    expect(() => readConfig({ AUTH: 'oidc', OIDC_ISSUER: issuer })).toThrow(/OIDC_AUDIENCE/)
    expect(() => readConfig({ AUTH: 'oidc', OIDC_AUDIENCE: 'a' })).toThrow(/OIDC_ISSUER/)
    expect(() => readConfig({ OIDC_ISSUER: 'http://login.example' })).toThrow(/expected an https address/)
    expect(() => readConfig({ OIDC_JWKS_URL: 'http://me:secret@login.example/' })).toThrow(
      /=http:\/\/…@login/,
    )
    expect(() => readConfig({ OIDC_JWKS_URL: 'file:///keys' })).toThrow(/expected an https address/)
    expect(
      readConfig({ AUTH: 'oidc', OIDC_ISSUER: 'https://a.b', OIDC_AUDIENCE: 'c', HOST: '::' }).AUTH,
    ).toBe('oidc')
  })
})
