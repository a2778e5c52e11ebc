/**
 * `AUTH=oidc`: access tokens of an OpenID provider, checked against its keys, which are fetched when one is first needed, kept, and
 * fetched again when a token names one that is not among them. The provider being away is a 503, not a 401.
 */
import * as jose from 'jose'
import * as z from 'zod'
import { isTrusted } from '../../config.ts'
import { Problem } from '../../problem.ts'
import type { Authenticator, Identity } from './identity.ts'

export interface OidcSettings {
  issuer: string
  audience: string
  /** undefined where the provider is to be asked for it */
  jwksUrl: string | undefined
  /** of everybody who has a token, each */
  requestsPerMinute: number | undefined
  flopsPerMinute: number | undefined
}

/** Signatures with a public key alone: nothing of the server's could sign a token. */
const ALGORITHMS = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
]
/** Seconds that clocks may differ by. */
const CLOCK_TOLERANCE = 5
const FETCH_MS = 5000
/** Bytes of a discovery document. */
const MOST_BYTES = 1 << 20

const Discovery = z.object({ issuer: z.string(), jwks_uri: z.url() })

export class OidcAuthenticator implements Authenticator {
  readonly #settings: OidcSettings
  #keys: Promise<jose.JWTVerifyGetKey> | undefined

  constructor(settings: OidcSettings) {
    this.#settings = settings
  }

  async authenticate(token: string): Promise<Identity | undefined> {
    // what is no token of a kind that could be right asks the provider for nothing
    if (!isSigned(token)) return undefined
    const { issuer, audience } = this.#settings
    const keys = await this.#provided()
    try {
      const { payload } = await jose.jwtVerify(token, keys, {
        issuer,
        audience,
        algorithms: ALGORITHMS,
        clockTolerance: CLOCK_TOLERANCE,
        requiredClaims: ['exp', 'sub'],
      })
      const subject = String(payload.sub)
      return {
        id: `oidc:${subject}`,
        name: subject.slice(0, 64),
        requestsPerMinute: this.#settings.requestsPerMinute,
        flopsPerMinute: this.#settings.flopsPerMinute,
      }
    } catch (error) {
      if (isRefusal(error)) return undefined
      throw away()
    }
  }

  flopsPerMinute(): number | undefined {
    return this.#settings.flopsPerMinute
  }

  #provided(): Promise<jose.JWTVerifyGetKey> {
    this.#keys ??= this.#discover().catch(() => {
      this.#keys = undefined
      throw away()
    })
    return this.#keys
  }

  async #discover(): Promise<jose.JWTVerifyGetKey> {
    const { issuer, jwksUrl } = this.#settings
    const url = jwksUrl ?? (await discovered(issuer))
    if (!isTrusted(url)) throw new Error('expected keys at an https address')
    return jose.createRemoteJWKSet(new URL(url), { timeoutDuration: FETCH_MS })
  }
}

/** Of OpenID Connect Discovery 1.0: the document must be of the very issuer. */
async function discovered(issuer: string): Promise<string> {
  const url = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`
  const answer = await fetch(url, { signal: AbortSignal.timeout(FETCH_MS), redirect: 'error' })
  if (!answer.ok) throw new Error(`${url}: ${answer.status}`)
  const text = await answer.text()
  if (text.length > MOST_BYTES) throw new Error('expected a short document')
  const document = Discovery.parse(JSON.parse(text))
  if (document.issuer !== issuer) throw new Error('expected the document of this issuer')
  return document.jwks_uri
}

function isSigned(token: string): boolean {
  try {
    return ALGORITHMS.includes(jose.decodeProtectedHeader(token).alg ?? '')
  } catch {
    return false
  }
}

/** What is wrong with the token, not with where its keys come from. */
function isRefusal(error: unknown): boolean {
  return (
    error instanceof jose.errors.JWTClaimValidationFailed ||
    error instanceof jose.errors.JWTExpired ||
    error instanceof jose.errors.JWTInvalid ||
    error instanceof jose.errors.JWSInvalid ||
    error instanceof jose.errors.JWSSignatureVerificationFailed ||
    error instanceof jose.errors.JOSEAlgNotAllowed ||
    error instanceof jose.errors.JOSENotSupported ||
    error instanceof jose.errors.JWKSNoMatchingKey ||
    error instanceof jose.errors.JWKSMultipleMatchingKeys
  )
}

function away(): Problem {
  return new Problem('BUSY', 'the provider of identities does not answer as it should', { retryAfter: 5 })
}
