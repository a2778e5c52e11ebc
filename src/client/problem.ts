/** What the server refuses, and what never reached it. */

export interface FieldError {
  /** JSON pointer into the request */
  path: string
  message: string
}

/** An answer that is application/problem+json. */
export class ProblemError extends Error {
  override readonly name = 'ProblemError'
  readonly status: number
  /** as `SHAPE_MISMATCH` */
  readonly code: string
  readonly detail: string
  readonly errors: FieldError[]
  readonly requestId: string | undefined
  /** seconds after which the server expects to be able */
  readonly retryAfter: number | undefined

  constructor(status: number, body: Record<string, unknown>, retryAfter?: number) {
    const { code = 'UNKNOWN', detail = `status ${status}`, errors = [], request_id: id } = body
    super(`${code}: ${detail}`)
    this.status = status
    this.code = String(code)
    this.detail = String(detail)
    this.errors = errors as FieldError[]
    this.requestId = id as string | undefined
    this.retryAfter = retryAfter
  }
}

export async function problemOf(response: Response): Promise<ProblemError> {
  const text = await response.text()
  let body: Record<string, unknown> = { detail: text.slice(0, 200) || response.statusText }
  if (response.headers.get('content-type')?.includes('json')) {
    try {
      body = JSON.parse(text)
    } catch {
      // the text says what there is to say
    }
  }
  return new ProblemError(response.status, body, secondsOf(response.headers.get('retry-after')))
}

/** Of `Retry-After`: seconds or a date. */
function secondsOf(header: string | null): number | undefined {
  if (header === null) return undefined
  const seconds = /^\d+$/.test(header) ? Number(header) : (Date.parse(header) - Date.now()) / 1000
  return Number.isNaN(seconds) ? undefined : Math.max(0, seconds)
}
