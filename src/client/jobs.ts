/** Computations that nobody waits for at a connection: `client.jobs`. */
import type * as api from './api.d.ts'
import { backoff, type CallOptions, pause, type Transport } from './transport.ts'

export interface SubmitOptions extends CallOptions {
  /** smaller numbers first, 0 to 1,000,000 */
  priority?: number | undefined
  /** the same key and request: the same job; without one each call is a job of its own */
  idempotencyKey?: string | undefined
}

export interface WaitOptions extends CallOptions {
  /** told the job as it stands, whenever it has changed */
  onChange?: ((job: api.JobAnswer) => void) | undefined
}

const ENDED: readonly api.JobAnswer['state'][] = ['done', 'failed', 'cancelled', 'expired']

export class Jobs {
  readonly #transport: Transport

  constructor(transport: Transport) {
    this.#transport = transport
  }

  /** Takes a request of an endpoint; the answer is the job as it stands. */
  submit<Path extends keyof api.Endpoints>(
    endpoint: Path,
    body: api.Endpoints[Path]['request'],
    options?: SubmitOptions,
  ): Promise<api.JobAnswer>
  submit(endpoint: string, body: object, options?: SubmitOptions): Promise<api.JobAnswer>
  async submit(
    endpoint: string,
    body: object,
    { priority, idempotencyKey = someKey(), signal }: SubmitOptions = {},
  ): Promise<api.JobAnswer> {
    const request = { endpoint, body, ...(priority !== undefined && { priority }) }
    // with a key a request that is tried again is no second job
    const headers = { 'idempotency-key': idempotencyKey }
    return (await this.#transport.post('/v1/jobs', request, { signal }, headers)) as api.JobAnswer
  }

  async get(id: string, options?: CallOptions): Promise<api.JobAnswer> {
    return (await this.#transport.get(pathOf(id), options)) as api.JobAnswer
  }

  /** The job whenever it has changed, until it has ended; a connection that is lost is made again. */
  async *events(id: string, { signal }: CallOptions = {}): AsyncGenerator<api.JobAnswer, void, undefined> {
    const headers = { accept: 'text/event-stream' }
    let last = ''
    for (let tries = 0; ; tries++) {
      const { body } = await this.#transport.send(`${pathOf(id)}/events`, { headers, signal })
      try {
        for await (const data of eventsOf(body)) {
          if (data === last) continue
          last = data
          tries = 0
          const job = JSON.parse(data) as api.JobAnswer
          yield job
          if (ENDED.includes(job.state)) return
        }
      } catch (error) {
        // a TypeError where the connection was lost
        if (!(error instanceof TypeError)) throw error
      }
      if (tries >= this.#transport.retries) throw new TypeError(`the events of job ${id} ended before it did`)
      await pause(backoff(tries) * 1000, signal)
    }
  }

  /** The job when it has ended, whatever its state then. */
  async wait(id: string, { onChange, signal }: WaitOptions = {}): Promise<api.JobAnswer> {
    let last: api.JobAnswer | undefined
    for await (const job of this.events(id, { signal })) {
      last = job
      onChange?.(job)
    }
    return last as api.JobAnswer
  }

  /** What its endpoint would have answered; throws what ended it where it has failed. */
  async result<Answer = unknown>(id: string, options?: CallOptions): Promise<Answer> {
    return (await this.#transport.get(`${pathOf(id)}/result`, options)) as Answer
  }

  /** The job as it stands then. */
  async cancel(id: string, { signal }: CallOptions = {}): Promise<api.JobAnswer> {
    const response = await this.#transport.send(pathOf(id), { method: 'DELETE', signal })
    return (await response.json()) as api.JobAnswer
  }

  /** Submits, waits and answers. Where waiting is stopped, the job is cancelled. */
  async run<Path extends keyof api.Endpoints>(
    endpoint: Path,
    body: api.Endpoints[Path]['request'],
    { onChange, ...options }: SubmitOptions & WaitOptions = {},
  ): Promise<api.Endpoints[Path]['answer']> {
    const { id } = await this.submit(endpoint, body, options)
    try {
      await this.wait(id, { onChange, signal: options.signal })
    } catch (error) {
      if (options.signal?.aborted) await this.cancel(id).catch(() => {})
      throw error
    }
    return this.result(id, { signal: options.signal })
  }
}

function pathOf(id: string): string {
  return `/v1/jobs/${encodeURIComponent(id)}`
}

function someKey(): string {
  return Array.from(crypto.getRandomValues(new Uint32Array(4)), word => word.toString(36)).join('-')
}

/** The data of server-sent events. */
async function* eventsOf(body: ReadableStream<Uint8Array> | null): AsyncGenerator<string> {
  const reader = body?.pipeThrough(new TextDecoderStream() as TransformStream<Uint8Array, string>).getReader()
  if (reader === undefined) return
  let text = ''
  try {
    for (;;) {
      const { value, done } = await reader.read()
      if (done) return
      text += value
      const blocks = text.split('\n\n')
      text = blocks.pop() as string
      for (const block of blocks) {
        const lines = block.split('\n').filter(line => line.startsWith('data:'))
        if (lines.length > 0) yield lines.map(line => line.slice(5).trimStart()).join('\n')
      }
    }
  } finally {
    await reader.cancel().catch(() => {})
  }
}
