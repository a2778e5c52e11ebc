/**
 * `import { Client, tensor } from 'attention-server/client'`: the service from Node and from browsers. Tensors are typed arrays and
 * cross as safetensors; what is busy is tried again; streams are async iterators.
 */
import type * as api from './api.d.ts'
import { Jobs, type SubmitOptions, type WaitOptions } from './jobs.ts'
import { Models } from './models.ts'
import { type FieldError, ProblemError, problemOf } from './problem.ts'
import { type Frame, openStream, type StreamRequest } from './stream.ts'
import { type DType, type Nested, Tensor, type TypedArray, tensor } from './tensor.ts'
import type { TensorLike } from './tensor-like.ts'
import { type CallOptions, type ClientOptions, Transport } from './transport.ts'

export type {
  api,
  CallOptions,
  ClientOptions,
  DType,
  FieldError,
  Frame,
  Jobs,
  Models,
  Nested,
  StreamRequest,
  SubmitOptions,
  TensorLike,
  TypedArray,
  WaitOptions,
}
export { ProblemError, Tensor, tensor }

export type Endpoints = api.Endpoints

export class Client {
  readonly url: string
  readonly jobs: Jobs
  readonly models: Models
  readonly #transport: Transport

  /** `new Client('http://127.0.0.1:8080', { key })` */
  constructor(url: string | URL, options: ClientOptions = {}) {
    this.#transport = new Transport(url, options)
    this.url = this.#transport.url
    this.jobs = new Jobs(this.#transport)
    this.models = new Models(this.#transport)
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

  gradientCheck(request: api.GradientCheckRequest, options?: CallOptions): Promise<api.GradientCheckAnswer> {
    return this.post('/v1/gradient-check', request, options)
  }

  explainMask(request: api.ExplainMaskRequest, options?: CallOptions): Promise<api.ExplainMaskAnswer> {
    return this.post('/v1/explain-mask', request, options)
  }

  /** Whether the server takes requests, and what it runs on; not tried again. */
  async health({ signal }: CallOptions = {}): Promise<api.HealthAnswer> {
    const response = await this.#transport.ask('/health/ready', { signal })
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
  async post(path: string, request: object, options?: CallOptions): Promise<unknown> {
    return this.#transport.post(path, request, options)
  }

  /** For one stream, once and soon, of somebody who has no key: `/v1/stream?ticket=…`. */
  async streamTicket({ signal }: CallOptions = {}): Promise<api.TicketAnswer> {
    const response = await this.#transport.send('/v1/stream-ticket', { method: 'POST', signal })
    return (await response.json()) as api.TicketAnswer
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
    const { key, WebSocket: Socket = WebSocket } = this.#transport.options
    // a browser sends no header with a WebSocket
    if (key !== undefined) address.searchParams.set('ticket', (await this.streamTicket({ signal })).ticket)
    yield* openStream(address, request, Socket, signal)
  }
}
