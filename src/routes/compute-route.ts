/** One compute request from bytes to bytes: read, parse, compile, admit, run, answer; and nothing left behind. */
import { Readable } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { JsonScan } from '../../workers/elements/json-scan.ts'
import { shortest } from '../../workers/elements/print.ts'
import type { Step } from '../../workers/program.ts'
import { bufferView } from '../../workers/views.ts'
import { type BodyFormat, formatOf, MEDIA_TYPES, parseBody } from '../codecs/body.ts'
import type { Region } from '../compute/arena.ts'
import type { Compute, Lease } from '../compute/compute.ts'
import type { JobReport } from '../compute/job.ts'
import { fieldProblem, Problem } from '../errors.ts'
import type { RequestProgram } from '../programs/request-program.ts'
import { schemaProblem } from '../schemas/field-errors.ts'
import { elementPointer, indices } from '../tensors/tensor-source.ts'
import { Answer, isEncoding } from './answer.ts'
import { answerStyle, type Endpoint } from './endpoints.ts'
import type { BodyReader } from './read-body.ts'
import { Timings } from './timings.ts'

/** JSON text up to this size is scanned on the main thread: less than what a crossing to a worker takes. */
const SCAN_HERE = 64 * 1024

export interface RouteContext {
  compute: Compute
  bodies: BodyReader
  deadlineSeconds: number
}

/** A body's bytes, and memory that goes with them; `release` frees all of it. */
export class Body {
  readonly tree: unknown
  readonly format: BodyFormat
  readonly #regions: Region[]
  readonly #compute: Compute

  private constructor(tree: unknown, format: BodyFormat, regions: Region[], compute: Compute) {
    this.tree = tree
    this.format = format
    this.#regions = regions
    this.#compute = compute
  }

  static async read(request: FastifyRequest, { compute, bodies }: RouteContext): Promise<Body> {
    const format = formatOf(request.headers['content-type'])
    const coding = request.headers['content-encoding'] ?? 'identity'
    if (format === undefined || coding !== 'identity') {
      const got =
        coding === 'identity' ? (request.headers['content-type'] ?? 'none') : `${coding} content encoding`
      throw new Problem(
        'UNSUPPORTED_MEDIA_TYPE',
        `expected ${Object.values(MEDIA_TYPES).join(' or ')}, got ${got}`,
      )
    }
    const { region, bytes } = await bodies.read(request.raw)
    const regions = [region]
    const share = (text: Uint8Array) => {
      const extra = compute.allocate(text.length)
      regions.push(extra)
      const copy = new Uint8Array(compute.arena.memory.buffer, extra.offset, text.length)
      copy.set(text)
      return copy
    }
    try {
      const tree = await parseBody(format, bytes, {
        scan: text => scan(text, compute),
        scanHere: text => compute.scanHere(text),
        share,
      })
      return new Body(tree, format, regions, compute)
    } catch (error) {
      for (const each of regions) compute.arena.free(each)
      throw error
    }
  }

  release(): void {
    for (const region of this.#regions.splice(0)) this.#compute.arena.free(region)
  }
}

function scan(text: Uint8Array, compute: Compute): JsonScan | Promise<JsonScan> {
  return text.length <= SCAN_HERE ? compute.scanHere(text) : compute.scan(text)
}

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
    const program = endpoint.compile(parsed.data)
    const answer = new Answer(program, answerStyle(parsed.data, answerFormat(request)))
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

/** A worker found an element that cannot be: the 400 that names it. */
function throwFault({ fault: found }: JobReport, program: RequestProgram): void {
  if (found === undefined) return
  const { fault, step } = found
  const input = program.inputOf(step)
  if (input === undefined) throw new Error(`a fault of a step that reads no input: ${step.op}`)
  const { pointer, source } = input
  const below = fault.index < 0 ? '' : elementPointer(source, fault.index)
  const at =
    below === '' && fault.index >= 0 ? ` at index [${indices(source.shape, fault.index).join(', ')}]` : ''
  const expected = {
    non_finite: 'expected finite numbers (or "non_finite":"propagate")',
    overflow: `expected numbers that ${source.dtype === 'float64' ? program.precision : source.dtype} can hold`,
    bad_element:
      source.dtype === 'bool'
        ? 'expected true or false (or bytes 0 and 1)'
        : 'expected an integer of that type',
    bad_base64: 'expected base64',
  }[fault.kind]
  const code = fault.kind === 'non_finite' || fault.kind === 'overflow' ? 'NON_FINITE' : 'INVALID_TENSOR'
  throw fieldProblem(code, pointer + below, `${expected}, got ${fault.found}${at}`)
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
    const stages = { ...program, precision: program.precision, buffers: program.buffers, stages: [[step]] }
    await life.use(compute.run({ program: stages, placement: lease.placement }, life.signal))
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

/** Facts, the loss and other single numbers, rounded to the answer's precision; what JSON cannot hold is a string. */
function scalars(program: RequestProgram, lease: Lease, memory: WebAssembly.Memory): Record<string, unknown> {
  const numbers = Object.fromEntries(
    program.scalars.map(({ name, buffer, index }) => {
      const value = bufferView(memory, lease.placement.buffers[buffer])[index]
      const rounded = program.precision === 'float32' ? Math.fround(value) : value
      if (!Number.isFinite(rounded)) return [name, String(rounded)]
      return [name, program.precision === 'float32' ? shortest(rounded) : rounded]
    }),
  )
  return { ...program.facts, ...numbers }
}
