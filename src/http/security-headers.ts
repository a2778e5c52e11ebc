/** What browsers are told of our pages: everything they need is our own, nothing inline, no framing. */
import type { FastifyHelmetOptions } from '@fastify/helmet'

const POLICY = {
  'default-src': "'none'",
  'script-src': "'self'",
  'style-src': "'self'",
  'font-src': "'self'",
  'img-src': "'self'",
  'connect-src': "'self'",
  'worker-src': "'self'",
  'base-uri': "'none'",
  'form-action': "'none'",
  'frame-ancestors': "'none'",
}

/** For an answer that is a page of its own; `more`: directives of the policy that it has otherwise. */
export function securityHeaders(more: Partial<typeof POLICY> = {}): Record<string, string> {
  const directives = Object.entries({ ...POLICY, ...more }).map(([name, value]) => `${name} ${value}`)
  return {
    'content-security-policy': directives.join('; '),
    'x-content-type-options': 'nosniff',
    'x-frame-options': 'DENY',
    'referrer-policy': 'no-referrer',
  }
}

/** `more`: directives of the policy that a page has otherwise. */
export function helmetOptions(more: Partial<typeof POLICY> = {}): FastifyHelmetOptions {
  return {
    contentSecurityPolicy: { useDefaults: false, directives: { ...POLICY, ...more } },
    xFrameOptions: { action: 'deny' },
    // for what ends TLS to say: it may not be said without (RFC 6797, 7.2)
    strictTransportSecurity: false,
  }
}

/** The same of an answer that is a page once in a while. */
export function pageHeaders(more: Partial<typeof POLICY>): Record<string, string> {
  const policy = Object.entries({ ...POLICY, ...more }).map(([name, sources]) => `${name} ${sources}`)
  return {
    'content-security-policy': policy.join('; '),
    'x-content-type-options': 'nosniff',
    'x-frame-options': 'DENY',
    'referrer-policy': 'no-referrer',
  }
}
