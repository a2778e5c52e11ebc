/**
 * Everything that can go wrong for a client, in one table: code → status and title. A `Problem` is answered as RFC 9457
 * `application/problem+json`; anything that is not a Problem is a fault of ours and answers `INTERNAL`.
 */
export const PROBLEMS = {
  INVALID_JSON: { status: 400, title: 'The body is not valid JSON' },
  INVALID_SAFETENSORS: { status: 400, title: 'The body is not a valid safetensors file' },
  INVALID_COMPRESSION: { status: 400, title: 'The body is not in the coding that it is said to be in' },
  INVALID_REQUEST: { status: 400, title: 'The request does not fit its schema' },
  SHAPE_MISMATCH: { status: 400, title: 'Shapes do not fit together' },
  INVALID_TENSOR: { status: 400, title: 'A tensor cannot be read' },
  NON_FINITE: { status: 400, title: 'A tensor holds a value that is not finite' },
  MODEL_UNSUPPORTED: { status: 400, title: 'The model is of a kind that this server does not run' },
  MODEL_INVALID: { status: 400, title: 'The model’s files are not what they should be' },
  BAD_HTTP: { status: 400, title: 'The HTTP request is malformed' },
  UNAUTHORIZED: { status: 401, title: 'The request comes with no valid key' },
  FORBIDDEN: { status: 403, title: 'The request may not be made from there' },
  NOT_FOUND: { status: 404, title: 'No such resource' },
  MODEL_NOT_FOUND: { status: 404, title: 'No such model' },
  METHOD_NOT_ALLOWED: { status: 405, title: 'The resource does not take this method' },
  CLIENT_IDLE: { status: 408, title: 'The client let its run wait for too long' },
  BODY_TIMEOUT: { status: 408, title: 'The body did not arrive in time' },
  JOB_NOT_READY: { status: 409, title: 'The job has no result yet' },
  JOB_CANCELLED: { status: 409, title: 'The job was cancelled' },
  IDEMPOTENCY_KEY_REUSED: { status: 409, title: 'The idempotency key belongs to another body' },
  JOB_EXPIRED: { status: 410, title: 'The result of the job is no longer kept' },
  BODY_TOO_LARGE: { status: 413, title: 'The body is larger than this server takes' },
  COMPUTE_TOO_LARGE: { status: 413, title: 'The computation is larger than this server takes on' },
  MEMORY_TOO_LARGE: { status: 413, title: 'The tensors need more memory than this server gives one request' },
  UNSUPPORTED_MEDIA_TYPE: { status: 415, title: 'The media type of the body is not one this server reads' },
  UPGRADE_REQUIRED: { status: 426, title: 'The resource is a WebSocket' },
  TOO_MANY: { status: 429, title: 'Too much at once of one client' },
  RATE_LIMITED: { status: 429, title: 'The budget of the key is used up' },
  HEADERS_TOO_LARGE: { status: 431, title: 'The head of the request is larger than this server takes' },
  CLIENT_CLOSED: { status: 499, title: 'The client went away' },
  INTERNAL: { status: 500, title: 'A fault of this server' },
  WORKER_LOST: { status: 500, title: 'The worker that computed this request was lost' },
  BUSY: { status: 503, title: 'The server is busy' },
  QUEUE_UNAVAILABLE: { status: 503, title: 'The queue of jobs cannot be reached' },
  STORE_UNAVAILABLE: { status: 503, title: 'The store of jobs cannot be reached, or is full' },
  DRAINING: { status: 503, title: 'The server is shutting down' },
  DEADLINE_EXCEEDED: { status: 504, title: 'The deadline passed before the answer was ready' },
} as const

export type ProblemCode = keyof typeof PROBLEMS

/** One thing wrong with one field; `path` is a JSON pointer into the request's body. */
export interface FieldError {
  path: string
  message: string
}

export class Problem extends Error {
  readonly code: ProblemCode
  readonly errors: FieldError[]
  /** seconds after which a retry makes sense, sent as `Retry-After` */
  readonly retryAfter: number | undefined
  /** what its status has to say in headers, by their names */
  readonly headers: Record<string, string | number>
  /** more that it says, as RFC 9457's extension members */
  readonly members: Record<string, unknown>

  constructor(
    code: ProblemCode,
    detail: string,
    more: {
      errors?: FieldError[]
      retryAfter?: number | undefined
      members?: Record<string, unknown>
      headers?: Record<string, string | number>
    } = {},
  ) {
    super(detail)
    this.code = code
    this.errors = more.errors ?? []
    this.retryAfter = more.retryAfter
    this.headers = more.headers ?? {}
    this.members = more.members ?? {}
  }

  get status(): number {
    return PROBLEMS[this.code].status
  }

  /** The same about a body that stands below `pointer` in the request's body. */
  below(pointer: string): Problem {
    return this.moved(({ path, message }) => ({ path: pointer + path, message }))
  }

  /** The same about a body in which each thing stands elsewhere. */
  moved(place: (error: FieldError) => FieldError): Problem {
    const errors = this.errors.map(place)
    const told = this.errors.length > 0 && this.message === detailOf(this.errors[0])
    const detail = told ? detailOf(errors[0]) : this.message
    return new Problem(this.code, detail, { errors, retryAfter: this.retryAfter, headers: this.headers })
  }

  toJSON(requestId: string) {
    return {
      type: `urn:attention-server:problem:${this.code.toLowerCase().replaceAll('_', '-')}`,
      title: PROBLEMS[this.code].title,
      status: this.status,
      detail: this.message,
      code: this.code,
      request_id: requestId,
      ...(this.errors.length > 0 ? { errors: this.errors } : {}),
      ...this.members,
    }
  }
}

/** A 400 about one field. */
export function fieldProblem(code: ProblemCode, path: string, message: string): Problem {
  return fieldsProblem(code, [{ path, message }])
}

/** A 400 about two fields of one object that may not stand together. */
export function bothProblem(pointer: string, one: string, other: string): Problem {
  const message = `expected ${one} or ${other}, got both`
  return fieldsProblem('INVALID_REQUEST', [
    { path: `${pointer}/${one}`, message },
    { path: `${pointer}/${other}`, message },
  ])
}

/** A 400 about one or more fields; its detail is the first. */
export function fieldsProblem(code: ProblemCode, errors: FieldError[]): Problem {
  return new Problem(code, detailOf(errors[0]), { errors })
}

function detailOf({ path, message }: FieldError): string {
  return path === '' ? message : `${path}: ${message}`
}

/** What is answered where `error` was thrown: itself, or that this server has a fault. */
export function problemOf(error: unknown): Problem {
  if (error instanceof Problem) return error
  return new Problem('INTERNAL', 'something went wrong here; the request id finds it in the log')
}
