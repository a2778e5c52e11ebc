/**
 * `import { Client, tensor } from 'attention-server/client'`: the service from Node and from browsers. Tensors are typed arrays and
 * cross as safetensors; what is busy is tried again; streams are async iterators.
 */
import type * as api from './api.d.ts'
import { type FieldError, ProblemError, problemOf } from './problem.ts'
import { decodeFile, encodeFile, holdsTensors } from './safetensors.ts'
import { type Frame, openStream, type StreamRequest } from './stream.ts'
import { type DType, type Nested, Tensor, type TypedArray, tensor } from './tensor.ts'
import type { TensorLike } from './tensor-like.ts'

export type { api, DType, FieldError, Frame, Nested, StreamRequest, TensorLike, TypedArray }
export { ProblemError, Tensor, tensor }

export type Endpoints = api.Endpoints

export interface ClientOptions {
  /** an API key, where the server wants one */
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

const SAFETENSORS = 'application/x-safetensors'
const JSON_TYPE = 'application/json'
/** What may be different the next time; computing is without effects, so that trying again is safe. */
const PASSING = new Set([429, 502, 503])
const FIRST_SECONDS = 0.2

export class Client {
  readonly url: string
  readonly #options: ClientOptions

  /** `new Client('http://127.0.0.1:8080')` */
  constructor(url: string | URL, options: ClientOptions = {}) {
    this.url = String(url).replace(/\/+$/, '')
    this.#options = options
  }

  attention(request: api.AttentionRequest, options?: CallOptions): Promise<api.AttentionAnswer> {
    return this.post('/v1/attention', request, options)
  }

  selfAttention(request: api.SelfAttentionRequest, options?: CallOptions): Promise<api.SelfAttentionAnswer> {
    return this.post('/v1/self-attention', request, options)
  }

  multiHeadAttention(
    request: api.MultiHeadAttentionRequest,
    options?: CallOptions,
  ): Promise<api.MultiHeadAttentionAnswer> {
    return this.post('/v1/multi-head-attention', request, options)
  }

  transformer(request: api.TransformerRequest, options?: CallOptions): Promise<api.TransformerAnswer> {
    return this.post('/v1/transformer', request, options)
  }

  positionalEncoding(
    request: api.PositionalEncodingRequest,
    options?: CallOptions,
  ): Promise<api.PositionalEncodingAnswer> {
    return this.post('/v1/positional-encoding', request, options)
  }

  compare(request: api.CompareRequest, options?: CallOptions): Promise<api.CompareAnswer> {
    return this.post('/v1/compare', request, options)
  }

  plan(request: api.PlanRequest, options?: CallOptions): Promise<api.PlanAnswer> {
    return this.post('/v1/plan', request, options)
  }

  /** Whether the server takes requests, and what it runs on; not tried again. */
  async health({ signal }: CallOptions = {}): Promise<api.HealthAnswer> {
    const { fetch: ask = fetch } = this.#options
    const response = await ask(`${this.url}/health/ready`, { headers: this.#headers(), signal })
    // a server that is not ready says so in the same form
    if (response.ok || response.status === 503) return (await response.json()) as api.HealthAnswer
    throw await problemOf(response)
  }

  /** Any path that takes a POST. */
  async post<Path extends keyof Endpoints>(
    path: Path,
    request: Endpoints[Path]['request'],
    options?: CallOptions,
  ): Promise<Endpoints[Path]['answer']>
  async post<Answer = unknown>(path: string, request: object, options?: CallOptions): Promise<Answer>
  async post(path: string, request: object, { signal }: CallOptions = {}): Promise<unknown> {
    const isFile = holdsTensors(request)
    const headers = this.#headers({
      'content-type': isFile ? SAFETENSORS : JSON_TYPE,
      accept: `${SAFETENSORS}, ${JSON_TYPE};q=0.5`,
    })
    const body = isFile ? encodeFile(request) : JSON.stringify(request)
    const response = await this.#send(path, { method: 'POST', headers, body, signal })
    const isAnswerFile = response.headers.get('content-type')?.startsWith(SAFETENSORS)
    return isAnswerFile
      ? decodeFile(new Uint8Array(await response.arrayBuffer()), 'response')
      : response.json()
  }

  /**
   * A stack layer by layer, as its layers are computed: `for await (const frame of client.stream({ stack, x }))`. The next
   * layers come as fast as they are read; leaving the loop ends the run.
   */
  async *stream(
    request: StreamRequest,
    { signal }: CallOptions = {},
  ): AsyncGenerator<Frame, void, undefined> {
    const address = new URL(`${this.url}/v1/stream`)
    address.protocol = address.protocol === 'https:' ? 'wss:' : 'ws:'
    if (this.#options.key !== undefined) {
      // a browser sends no header with a WebSocket
      const response = await this.#send('/v1/stream-ticket', {
        method: 'POST',
        headers: this.#headers(),
        signal,
      })
      const { ticket } = (await response.json()) as { ticket: string }
      address.searchParams.set('ticket', ticket)
    }
    yield* openStream(address, request, this.#options.WebSocket ?? WebSocket, signal)
  }

  #headers(more: Record<string, string> = {}): Record<string, string> {
    const { key, headers } = this.#options
    return { ...(key === undefined ? {} : { authorization: `Bearer ${key}` }), ...headers, ...more }
  }

  async #send(path: string, init: RequestInit & { signal: AbortSignal | undefined }): Promise<Response> {
    const { fetch: ask = fetch, retries = 4, maxRetrySeconds = 30 } = this.#options
    for (let tries = 0; ; tries++) {
      let problem: unknown
      try {
        const response = await ask(this.url + path, init)
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
      const seconds = asked ?? FIRST_SECONDS * 2 ** tries * (0.5 + Math.random())
      if (tries >= retries || seconds > maxRetrySeconds) throw problem
      await pause(seconds * 1000, init.signal)
    }
  }
}

async function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
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
