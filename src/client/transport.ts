/** Requests of HTTP: with their key, tried again where the server is busy, in safetensors where they hold tensors. */
import { ProblemError, problemOf } from './problem.ts'
import { decodeFile, encodeFile, holdsTensors } from './safetensors.ts'

export interface ClientOptions {
  /** an API key, where the server wants one: sent as `Authorization: Bearer` */
  key?: string | undefined
  /** sent with every request */
  headers?: Record<string, string> | undefined
  /** how often a request is tried again that found the server busy or gone; default 4 */
  retries?: number | undefined
  /** the longest time between two tries, in seconds; default 30 */
  maxRetrySeconds?: number | undefined
  fetch?: typeof fetch | undefined
  WebSocket?: typeof WebSocket | undefined
}

export interface CallOptions {
  signal?: AbortSignal | undefined
}

interface Sent extends CallOptions {
  headers?: Record<string, string>
  method?: string
  body?: string | Uint8Array<ArrayBuffer>
}

const SAFETENSORS = 'application/x-safetensors'
const JSON_TYPE = 'application/json'
const EITHER = `${SAFETENSORS}, ${JSON_TYPE};q=0.5`
/** What may be different the next time; what is sent has no effect but once, so that trying again is safe. */
const PASSING = new Set([429, 502, 503])
const FIRST_SECONDS = 0.2

export class Transport {
  readonly url: string
  readonly options: ClientOptions

  constructor(url: string | URL, options: ClientOptions) {
    this.url = String(url).replace(/\/+$/, '')
    this.options = options
  }

  get retries(): number {
    return this.options.retries ?? 4
  }

  /** What is answered, whatever it is; not tried again. */
  ask(path: string, { headers, ...init }: Sent): Promise<Response> {
    const { fetch: ask = fetch, key, headers: always } = this.options
    const own = { ...(key !== undefined && { authorization: `Bearer ${key}` }), ...always, ...headers }
    return ask(this.url + path, { ...init, headers: own } as RequestInit)
  }

  /** An answer that is none of a problem. */
  async send(path: string, init: Sent): Promise<Response> {
    const { maxRetrySeconds = 30 } = this.options
    for (let tries = 0; ; tries++) {
      let problem: unknown
      try {
        const response = await this.ask(path, init)
        if (response.ok) return response
        problem = await problemOf(response)
        if (!PASSING.has(response.status)) throw problem
      } catch (error) {
        // fetch throws a TypeError where there is no connection
        if (!(error instanceof TypeError) && error !== problem) throw error
        if (error === problem && !PASSING.has((error as ProblemError).status)) throw error
        problem = error
      }
      const asked = problem instanceof ProblemError ? problem.retryAfter : undefined
      const seconds = asked ?? backoff(tries)
      if (tries >= this.retries || seconds > maxRetrySeconds) throw problem
      await pause(seconds * 1000, init.signal)
    }
  }

  /** Tensors of the answer are typed arrays. */
  async get(path: string, { signal }: CallOptions = {}): Promise<unknown> {
    return read(await this.send(path, { headers: { accept: EITHER }, signal }))
  }

  async post(
    path: string,
    request: object,
    { signal }: CallOptions = {},
    headers: Record<string, string> = {},
  ): Promise<unknown> {
    const isFile = holdsTensors(request)
    const body = isFile ? encodeFile(request) : JSON.stringify(request)
    const types = { 'content-type': isFile ? SAFETENSORS : JSON_TYPE, accept: EITHER }
    return read(await this.send(path, { method: 'POST', headers: { ...types, ...headers }, body, signal }))
  }
}

async function read(response: Response): Promise<unknown> {
  const isFile = response.headers.get('content-type')?.startsWith(SAFETENSORS)
  return isFile ? decodeFile(new Uint8Array(await response.arrayBuffer()), 'response') : response.json()
}

/** Seconds, half of them by chance. */
export function backoff(tries: number): number {
  return FIRST_SECONDS * 2 ** tries * (0.5 + Math.random())
}

export async function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  signal?.throwIfAborted()
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const stop = () => reject(signal?.reason)
  const clock = setTimeout(resolve, ms)
  signal?.addEventListener('abort', stop, { once: true })
  try {
    await promise
  } finally {
    clearTimeout(clock)
    signal?.removeEventListener('abort', stop)
  }
}
