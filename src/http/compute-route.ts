/** One compute request from bytes to bytes: read, parse, compile, admit, run, answer; and nothing left behind. */

import { Readable } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Step } from '../../workers/program.ts'
import { compileRequest } from '../endpoints/endpoint.ts'
import { answerStyle, type Endpoint } from '../endpoints/index.ts'
import type { Compute, Lease } from '../engine/engine.ts'
import { type BodyFormat, MEDIA_TYPES } from '../formats/body.ts'
import type { RequestProgram } from '../layers/program-builder.ts'
import { Body, type RouteContext } from '../pipeline/decode.ts'
import { throwFault } from '../pipeline/fault-problem.ts'
import { schemaProblem } from '../pipeline/field-errors.ts'
import { Answer, isEncoding } from '../pipeline/reply.ts'
import { scalars } from '../pipeline/scalars.ts'
import { Timings } from '../pipeline/timings.ts'
import { Problem } from '../problem.ts'
import { alone } from '../program.ts'

export async function handleCompute(
  endpoint: Endpoint,
  context: RouteContext,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<unknown> {
  const { compute } = context
  const timings = new Timings()
  request.timings = timings
  const life = new Lifetime(reply, context.deadlineSeconds)
  const started = performance.now()
  const body = await Body.read(request, context)
  life.onEnd(() => body.release())
  const parsed = endpoint.request.safeParse(body.tree)
  if (!parsed.success) throw life.fail(schemaProblem(parsed.error, body.tree))
  timings.decode = performance.now() - started
  try {
    const program = compileRequest(endpoint, parsed.data)
    const answer = new Answer(program, program.outputs, answerStyle(parsed.data, answerFormat(request)))
    for (const buffer of answer.buffers) program.keep(buffer)
    const lease = compute.admit(program)
    life.onEnd(() => lease.release())
    noteWork(request, program, lease)
    const report = await life.use(compute.run(lease, life.signal))
    timings.addReport(report)
    throwFault(report, program)
    return send(answer, lease, compute, reply, life, timings)
  } catch (error) {
    throw life.fail(error)
  }
}

/**
 * How long a request's memory is needed: until the response is over (or has failed) and no task of it is in flight.
 * The signal fires when the client leaves or the deadline passes.
 */
class Lifetime {
  readonly #abort = new AbortController()
  readonly #timer: NodeJS.Timeout
  readonly #ends: (() => void)[] = []
  #busy: Promise<unknown> = Promise.resolve()

  constructor(reply: FastifyReply, deadlineSeconds: number) {
    const late = () => {
      this.#abort.abort(
        new Problem('DEADLINE_EXCEEDED', `expected an answer within ${deadlineSeconds} s, got none`),
      )
      // an answer that is on its way to a client who does not read it holds memory that others need
      if (reply.raw.headersSent) reply.raw.destroy()
    }
    this.#timer = setTimeout(late, deadlineSeconds * 1000)
    reply.raw.once('close', () => {
      if (!reply.raw.writableFinished) {
        this.#abort.abort(new Problem('CLIENT_CLOSED', 'the client left before its answer was there'))
      }
      void this.#end()
    })
  }

  get signal(): AbortSignal {
    return this.#abort.signal
  }

  /** Memory stays until this promise has settled. */
  use<T>(promise: Promise<T>): Promise<T> {
    this.#busy = promise
    return promise
  }

  onEnd(release: () => void): void {
    this.#ends.push(release)
  }

  /** The request has failed: its memory is free before the error is answered. */
  fail(error: unknown): unknown {
    void this.#end()
    return error
  }

  /** Everything has been read out of the request's memory. */
  done(): void {
    void this.#end()
  }

  async #end(): Promise<void> {
    clearTimeout(this.#timer)
    await this.#busy.catch(() => {})
    for (const release of this.#ends.splice(0)) release()
  }
}

function answerFormat(request: FastifyRequest): BodyFormat {
  if (!request.headers.accept?.includes(MEDIA_TYPES.safetensors)) return 'json'
  return request.accepts().type([MEDIA_TYPES.json, MEDIA_TYPES.safetensors]) === MEDIA_TYPES.safetensors
    ? 'safetensors'
    : 'json'
}

function noteWork(request: FastifyRequest, program: RequestProgram, lease: Lease): void {
  const { flops, bytes } = lease.estimate
  request.work = { flops, bytes, precision: program.precision, inputs: program.inputShapes }
}

function send(
  answer: Answer,
  lease: Lease,
  compute: Compute,
  reply: FastifyReply,
  life: Lifetime,
  timings: Timings,
): unknown {
  const program = lease.program as RequestProgram
  const { memory } = compute.arena
  const rest = scalars(program, lease, memory)
  reply.type(answer.mediaType)
  const pieces = answer.pieces(memory, lease.placement, rest)
  if (answer.whole) {
    const started = performance.now()
    const parts: Uint8Array[] = []
    for (const piece of pieces) {
      if (isEncoding(piece)) parts.push(...answer.written(memory, lease.placement, piece))
      else parts.push(piece)
    }
    const whole = Buffer.concat(parts)
    timings.encode += performance.now() - started
    life.done()
    return reply.send(whole)
  }
  const length = answer.length(rest)
  if (length !== undefined) reply.header('content-length', length)
  const run = async (step: Step) => {
    await life.use(compute.run({ program: alone(program, step), placement: lease.placement }, life.signal))
  }
  async function* body() {
    for (const piece of pieces) {
      if (!isEncoding(piece)) yield Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength)
      // the next window overwrites this one, so what waits for the socket must be a copy
      else for await (const text of answer.text(memory, lease.placement, piece, run)) yield Buffer.from(text)
    }
  }
  return reply.send(Readable.from(body(), { objectMode: false, highWaterMark: 1 << 20 }))
}
