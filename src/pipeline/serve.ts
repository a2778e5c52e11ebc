/**
 * The only place where the stages of a request stand in order: decode, parse, compile, admit, run, encode. REST, plans,
 * streams, their fetches and the tests go through here.
 */
import * as z from 'zod'
import type { Compilable, Plannable, Room } from '../endpoints/endpoint.ts'
import type { Estimate, Lease } from '../engine/admission.ts'
import type { Engine } from '../engine/engine.ts'
import type { JobReport } from '../engine/job.ts'
import { type MemoryPlan, planningMemory } from '../engine/memory-plan.ts'
import type { Frame } from '../layers/outputs.ts'
import { RequestProgram } from '../layers/program-builder.ts'
import { fieldProblem, type Problem } from '../problem.ts'
import { dataProblem } from './data-fault.ts'
import { Decoded, decode, type Intake, type Source } from './decode.ts'
import { ReadyReply } from './encode.ts'
import { schemaProblem } from './field-errors.ts'
import { type Receipt, width } from './receipt.ts'
import { emitReply, type Replies, type ReplyStyle } from './reply.ts'
import { type Asked, Turns } from './turns.ts'

/** A program with everything that writing its answer takes. */
export interface Compiled extends Replies {
  program: RequestProgram
  memory: MemoryPlan
}

/** A program that has been admitted. */
export interface Admitted {
  compiled: Compiled
  lease: Lease
}

/** A barrier that has been reached. Nothing behind it runs before the sink's promise has settled. */
export interface ReachedFrame {
  /** which of the program's barriers */
  index: number
  frame: Frame
  /** milliseconds of computing since the one before */
  computeMs: number
  /** undefined where nothing leaves; but what left before must then be gone */
  reply: ReadyReply | undefined
}

/** Where an answer goes. */
export interface Sink<R> {
  readonly receipt: Receipt
  /** fires when nothing can be written any more; by default the request's own signal */
  readonly closed?: AbortSignal
  /** whose request it is, where clients can be told from each other */
  readonly client?: string | undefined
  style(request: R): ReplyStyle
  accepted?(admitted: Admitted): void
  /** The promise is the back-pressure: a client that does not read holds its own program, and no worker. */
  frame?(reached: ReachedFrame): Promise<void> | undefined
  /** Stages that are done, of how many; now and then. */
  progress?(done: number, total: number): void
  /** Settles when nothing of the reply will be read any more. */
  end(reply: ReadyReply): Promise<void> | void
  /** Settles when no frame is being read any more: the memory is free behind it. */
  idle?(): Promise<void>
}

export async function serve<R>(
  endpoint: Compilable<R>,
  source: Source | Decoded,
  sink: Sink<R>,
  intake: Intake,
  signal: AbortSignal,
): Promise<Receipt> {
  const { engine } = intake
  const { receipt } = sink
  const { timings } = receipt
  const started = performance.now()
  using body = source instanceof Decoded ? source : await decode(source, intake)
  receipt.stages?.ended('decode')
  if (body.beside.length > 0) refuseMisplaced(endpoint.request, body.beside)
  const request = parse(endpoint.request, body.tree)
  if (endpoint.prepare !== undefined) await endpoint.prepare(request, body, signal)
  timings.decode += performance.now() - started
  receipt.stages?.ended('parse')
  const style = sink.style(request)
  const compiled = isLarge(endpoint, request)
    ? await LARGE.run(compile(endpoint, request, style), asked(engine, sink.client, signal))
    : compileAtOnce(endpoint, request, style)
  const { program, memory, reply, frames } = compiled
  receipt.stages?.ended('compile')
  const admitted = engine.admit(program, memory)
  using lease = admitted instanceof Promise ? await admitted : admitted
  const { flops, bytes } = lease.estimate
  receipt.work = { flops, bytes, precision: program.precision, inputs: program.inputShapes }
  if (intake.budget !== undefined) {
    await intake.budget.spend(sink.client, flops)
    lease.group = sink.client
  }
  sink.accepted?.({ compiled, lease })
  const written = { engine, program, lease, timings, closed: sink.closed ?? signal }
  receipt.stages?.ended('admit')
  const reach = (index: number, { spans }: JobReport) => {
    timings.add({ spans })
    receipt.stages?.workers({ spans })
    const of = frames[index]
    const frame = program.barriers[index]
    const ready = of && new ReadyReply(of, written, frame.report)
    return sink.frame?.({ index, frame, computeMs: width(spans.compute), reply: ready })
  }
  const progress = sink.progress && ((done: number) => sink.progress?.(done, program.stages.length))
  try {
    const report = await engine.run(lease, signal, sink.frame && reach, progress)
    timings.add(report)
    receipt.stages?.workers(report)
    receipt.stages?.ended('run')
    if (report.fault !== undefined) throw dataProblem(report.fault, program)
    await sink.end(new ReadyReply(reply, written))
    receipt.stages?.ended('encode')
    return receipt
  } finally {
    // frames that are still being read stand in the memory
    if (sink.idle !== undefined) await sink.idle()
  }
}

/** A field of the request in a file's metadata would be ignored there. */
export function refuseMisplaced(schema: z.ZodType, keys: string[]): void {
  const fields = schema instanceof z.ZodObject ? schema.shape : {}
  const key = keys.find(name => Object.hasOwn(fields, name))
  if (key === undefined) return
  const expected = 'expected fields of the request in the JSON text __metadata__.request'
  throw fieldProblem('INVALID_SAFETENSORS', `/__metadata__/${key}`, `${expected}, got ${key} beside it`)
}

export function parse<R>(schema: z.ZodType<R>, tree: unknown): R {
  const parsed = schema.safeParse(tree)
  if (parsed.success) return parsed.data
  throw schemaProblem(schema, tree, parsed.error)
}

/** How a request says that its program is to compute. */
interface Numerics {
  precision: 'float32' | 'float64'
  non_finite: 'reject' | 'propagate'
}

/** The answer's steps belong to the program: a plan and an answer cannot differ. It pauses wherever there may be much. */
export function* compile<R>(
  endpoint: Compilable<R>,
  request: R,
  style: ReplyStyle,
): Generator<void, Compiled> {
  const { precision, non_finite } = request as Numerics
  const { programBeside: field } = endpoint
  const own = field === undefined || (request as Record<string, unknown>)[field] !== undefined
  const program = (own && endpoint.program?.(request)) || new RequestProgram(precision, non_finite)
  const compiling = endpoint.compile(program, request)
  if (compiling !== undefined) yield* compiling
  const replies = yield* emitReply(program, style)
  yield* program.finishing()
  const memory = yield* planningMemory(program)
  return { program, memory, ...replies }
}

/** Without the pauses. */
export function compileAtOnce<R>(endpoint: Compilable<R>, request: R, style: ReplyStyle): Compiled {
  const compiling = compile(endpoint, request, style)
  for (;;) {
    const { done, value } = compiling.next()
    if (done) return value
  }
}

/** Layers of a stack that is compiled at once: about 3 ms with everything asked for. */
const LAYERS_AT_ONCE = 8
/** One for all that this thread serves. */
const LARGE = new Turns()

function isLarge<R>(endpoint: Compilable<R>, request: R): boolean {
  return endpoint.layers !== undefined && endpoint.layers(request) > LAYERS_AT_ONCE
}

function asked(engine: Engine, client: string | undefined, signal: AbortSignal): Asked {
  return { client, signal, busy: () => engine.busy('too many large stacks are being compiled') }
}

/** Large stacks one after the other. */
export async function compileInTurn<R>(
  endpoint: Compilable<R>,
  request: R,
  style: ReplyStyle,
  engine: Engine,
  client: string | undefined,
  signal: AbortSignal,
): Promise<Compiled> {
  return isLarge(endpoint, request)
    ? await LARGE.run(compile(endpoint, request, style), asked(engine, client, signal))
    : compileAtOnce(endpoint, request, style)
}

/** What a request would take; the stages up to the admission, and no further. */
export interface Plan {
  shapes: Record<string, number[]>
  estimate: Estimate
  /** what a dialect was read as */
  conventions: unknown
  /** why it would not be admitted now */
  problem: Problem | undefined
}

/** `client` and `signal`: as of a sink, and of `serve`. */
export async function plan<R>(
  endpoint: Plannable<R>,
  tree: unknown,
  room: Room,
  style: (request: R) => ReplyStyle,
  { engine, budget }: Intake,
  client: string | undefined,
  signal: AbortSignal,
): Promise<Plan> {
  const request = parse(endpoint.shapes, tree)
  if (endpoint.prepare !== undefined) await endpoint.prepare(request, room, signal)
  const { program, memory } = await compileInTurn(endpoint, request, style(request), engine, client, signal)
  const estimate = engine.estimate(program, memory)
  return {
    shapes: Object.fromEntries(program.outputs.map(({ name, shape }) => [name, shape])),
    estimate,
    conventions: program.facts.conventions,
    problem:
      engine.refusal(estimate) ??
      engine.congestion(estimate) ??
      (await budget?.refusal(client, estimate.flops)),
  }
}
