/** What browsers are told of our pages: everything they need is our own, nothing inline, no framing. */

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

/** `more`: directives of the policy that a page has otherwise. */
export function securityHeaders(more: Partial<typeof POLICY> = {}): Record<string, string> {
  const policy = Object.entries({ ...POLICY, ...more }).map(([name, sources]) => `${name} ${sources}`)
  return {
    'content-security-policy': policy.join('; '),
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
  }
}
