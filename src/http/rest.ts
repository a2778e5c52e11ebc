/** `POST` of every endpoint: requests and responses as the two ends of the pipeline. */
import type { IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { shortened } from '../../workers/text/json-pointer.ts'
import { compare } from '../endpoints/compare/index.ts'
import type { Report } from '../endpoints/compare/report.ts'
import type { CompareRequest } from '../endpoints/compare/request.ts'
import type { Compilable } from '../endpoints/endpoint.ts'
import { SERVED } from '../endpoints/served.ts'
import { type BodyFormat, formatOf, MEDIA_TYPES } from '../formats/body.ts'
import type { Intake, Source } from '../pipeline/decode.ts'
import { diagnose } from '../pipeline/diagnose.ts'
import type { Fields, ReadyReply } from '../pipeline/encode.ts'
import { Receipt, Stages } from '../pipeline/receipt.ts'
import { type Numerics, type ReplyStyle, replyStyle } from '../pipeline/reply.ts'
import { type Sink, serve } from '../pipeline/serve.ts'
import { Problem } from '../problem.ts'
import { formOf, written } from './comparison-forms.ts'
import { LEAST_BYTES, packed } from './packed-answer.ts'
import { codingOf, unpack } from './packed-body.ts'
import { breakOff } from './plugins/errors.ts'
import { digestOf, wantsDigest } from './repr-digest.ts'

export interface RestOptions {
  intake: Intake
  deadlineSeconds: number
}

/**
 * Fastify parses no body, of whatever type: the pipeline reads bodies straight into shared memory. Answers that are long enough
 * leave in the content coding that their client takes.
 */
export const bodies = fp(
  async (app: FastifyInstance) => {
    app.removeAllContentTypeParsers()
    app.addContentTypeParser('*', (_request, _payload, done) => done(null))
    app.addHook('onSend', (request, reply, payload, done) => {
      if (request.headers['accept-encoding'] === undefined || isShort(payload, reply)) done(null, payload)
      else
        packed(request, reply, payload as Buffer).then(
          answer => done(null, answer),
          error => done(error),
        )
    })
  },
  { name: 'bodies' },
)

/** A few packets; a stream says its length, or has none. */
function isShort(payload: unknown, reply: FastifyReply): boolean {
  if (typeof payload === 'string' || Buffer.isBuffer(payload)) return payload.length < LEAST_BYTES
  return payload == null || Number(reply.getHeader('content-length') ?? LEAST_BYTES) < LEAST_BYTES
}

export const rest = fp(
  async (app: FastifyInstance, { intake, deadlineSeconds }: RestOptions) => {
    for (const endpoint of SERVED) {
      app.post(endpoint.path, (request, reply) => answer(endpoint, request, reply, intake, deadlineSeconds))
    }
  },
  {
    name: 'rest',
    encapsulate: true,
    dependencies: ['@fastify/accepts', 'bodies', 'errors', 'observe', 'drain'],
  },
)

/** Whose request it is: those of one client share what is shared among clients. */
export function clientOf(request: FastifyRequest): string {
  return request.identity?.id ?? request.ip
}

export async function answer(
  endpoint: Compilable,
  request: FastifyRequest,
  reply: FastifyReply,
  intake: Intake,
  deadlineSeconds: number,
): Promise<Buffer | undefined> {
  const receipt = new Receipt()
  receipt.stages = request.follow && new Stages(request.follow)
  request.receipt = receipt
  const { signal, clock } = stopsWith(reply, deadlineSeconds)
  try {
    const sink =
      endpoint === compare
        ? new ComparisonResponse(
            request,
            reply,
            receipt,
            diagnosing(request, intake, signal, deadlineSeconds),
          )
        : new Response(request, reply, receipt)
    await serve(endpoint, new RequestBody(request), sink, intake, signal)
    return sink.whole
  } catch (error) {
    breakOff(error, request, reply)
  } finally {
    clearTimeout(clock)
  }
}

/** Fires when the answer is late, or its client has left. */
export function stopsWith(reply: FastifyReply, deadlineSeconds: number) {
  const stop = new AbortController()
  const clock = setTimeout(() => {
    stop.abort(new Problem('DEADLINE_EXCEEDED', `expected an answer within ${deadlineSeconds} s, got none`))
    // an answer that is on its way to a client who does not read it holds memory that others need
    if (reply.raw.headersSent) reply.raw.destroy()
  }, deadlineSeconds * 1000)
  reply.raw.once('close', () => {
    if (reply.raw.writableFinished) return
    stop.abort(new Problem('CLIENT_CLOSED', 'the client left before its answer was there'))
  })
  return { signal: stop.signal, clock }
}

export class RequestBody implements Source {
  readonly format: BodyFormat
  readonly declaredBytes: number
  readonly #request: FastifyRequest
  readonly #message: IncomingMessage
  readonly #coding: string | undefined
  readonly #end = Promise.withResolvers<void>()
  /** the message, or what it unpacks to */
  #from: Readable | undefined

  /** Throws a 415. */
  constructor(request: FastifyRequest, type = request.raw.headers['content-type']) {
    const { raw } = request
    const { 'content-encoding': coding, 'content-length': length = 0 } = raw.headers
    const format = formatOf(type)
    if (format === undefined) {
      const detail = `expected ${Object.values(MEDIA_TYPES).join(' or ')}, got ${shortened(type ?? 'none')}`
      throw new Problem('UNSUPPORTED_MEDIA_TYPE', detail)
    }
    this.format = format
    this.#request = request
    this.#message = raw
    if (coding !== undefined) this.#coding = codingOf(coding)
    // of a packed one nobody has said how large it is
    this.declaredBytes = this.#coding === undefined ? Number(length) : 0
  }

  get client(): string {
    return clientOf(this.#request)
  }

  read(take: (chunk: Buffer) => Promise<void> | undefined): Promise<void> {
    const message = this.#message
    const left = () => this.cancel(new Problem('CLIENT_CLOSED', 'the client left before its body was whole'))
    const begin = (from: Readable) => this.#begin(from, take)
    if (this.#coding === undefined) begin(message)
    else unpack(message, this.#coding, begin, problem => this.cancel(problem))
    message.on('error', left)
    message.on('close', () => {
      if (!message.complete) left()
    })
    return this.#end.promise
  }

  #begin(from: Readable, take: (chunk: Buffer) => Promise<void> | undefined): void {
    this.#from = from
    from.on('data', (chunk: Buffer) => {
      try {
        const wait = take(chunk)
        if (wait === undefined) return
        from.pause()
        wait.then(
          () => from.resume(),
          problem => this.cancel(problem),
        )
      } catch (problem) {
        this.cancel(problem)
      }
    })
    from.on('end', this.#end.resolve)
  }

  cancel(problem: unknown): void {
    this.#message.unpipe().removeAllListeners('data')
    if (this.#from !== this.#message) this.#from?.removeAllListeners('data').destroy()
    this.#end.reject(problem)
  }
}

export class Response implements Sink<unknown> {
  readonly receipt: Receipt
  readonly #request: FastifyRequest
  readonly #reply: FastifyReply
  /** an inline answer: it is sent when the request's memory is free */
  whole: Buffer | undefined

  constructor(request: FastifyRequest, reply: FastifyReply, receipt: Receipt) {
    this.#request = request
    this.#reply = reply
    this.receipt = receipt
  }

  get client(): string {
    return clientOf(this.#request)
  }

  style(request: unknown): ReplyStyle {
    return replyStyle(request as Numerics, answerFormat(this.#request))
  }

  end(ready: ReadyReply, fields = ready.scalars(), type = ready.mediaType): Promise<void> | undefined {
    this.#reply.type(type)
    const asked = this.#request.headers['want-repr-digest']
    if (asked !== undefined && wantsDigest(asked)) return this.#withDigest(ready, fields)
    if (!ready.inline) return this.stream(ready.stream(fields, true), ready.length(fields))
    this.whole = ready.copy(fields)
  }

  /** A large answer is written twice: few clients read what comes behind a body. */
  async #withDigest(ready: ReadyReply, fields: Fields): Promise<void> {
    this.#reply.header('repr-digest', await digestOf(ready.stream(fields)))
    if (ready.inline) this.whole = ready.copy(fields)
    else await this.stream(ready.stream(fields, true), ready.length(fields))
  }

  /** The head leaves when the first text has been written: `Server-Timing` says what that took. */
  protected async stream(pieces: AsyncGenerator<Uint8Array>, length: number | undefined): Promise<void> {
    const reply = this.#reply
    const gone = new Promise<void>(resolve => reply.raw.once('close', resolve))
    const begun = [await pieces.next(), await pieces.next()]
    if (length !== undefined) reply.header('content-length', length)
    async function* body() {
      for (const { value, done } of begun) if (!done) yield bufferOf(value)
      for await (const piece of pieces) yield bufferOf(piece)
    }
    reply.send(Readable.from(body(), { objectMode: false, highWaterMark: 1 << 20 }))
    await gone
    // what is being written now ends before the memory is free
    await pieces.return(undefined)
  }
}

type Diagnose = (request: CompareRequest, report: Report) => Promise<unknown>

/** The share of the deadline after which nothing more is tried. */
const DIAGNOSIS_SHARE = 0.8

function diagnosing(
  of: FastifyRequest,
  { engine, budget }: Intake,
  signal: AbortSignal,
  deadlineSeconds: number,
): Diagnose {
  const spent = budget && ((flops: number) => budget.spend(clientOf(of), flops))
  const until = performance.now() + DIAGNOSIS_SHARE * 1000 * deadlineSeconds
  return (request, report) => diagnose(request, report, engine, signal, until, spent)
}

/** Of a comparison: where the candidate is wrong, it says why. */
class ComparisonResponse extends Response {
  readonly #diagnose: Diagnose
  readonly #write: ((fields: Fields) => Promise<Buffer>) | undefined
  readonly #isPage: boolean
  #compared: CompareRequest | undefined

  constructor(request: FastifyRequest, reply: FastifyReply, receipt: Receipt, diagnose: Diagnose) {
    super(request, reply, receipt)
    this.#diagnose = diagnose
    const form = formOf(request)
    this.#isPage = form === 'text/html'
    this.#write = form && (fields => written(form, fields, request, reply))
  }

  override style(request: unknown): ReplyStyle {
    this.#compared = request as CompareRequest
    if (this.#isPage) this.#compared.errorMaps = true
    return super.style(request)
  }

  override async end(ready: ReadyReply): Promise<void> {
    const fields = ready.scalars()
    const request = this.#compared
    if (request?.diagnose && fields.verdict === 'fail') {
      fields.diagnosis = await this.#diagnose(request, fields as Report)
    }
    if (this.#write === undefined) await super.end(ready, fields)
    else this.whole = await this.#write(fields)
  }
}

function bufferOf({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength)
}

export function answerFormat(request: FastifyRequest): BodyFormat {
  if (!request.headers.accept?.includes(MEDIA_TYPES.safetensors)) return 'json'
  return request.accepts().type([MEDIA_TYPES.json, MEDIA_TYPES.safetensors]) === MEDIA_TYPES.safetensors
    ? 'safetensors'
    : 'json'
}
