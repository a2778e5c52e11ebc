/** Runs jobs: the stored request goes through the pipeline as one over HTTP does, and its answer into the store. */
import { compare } from '../endpoints/compare/index.ts'
import type { Report } from '../endpoints/compare/report.ts'
import type { CompareRequest } from '../endpoints/compare/request.ts'
import { endpointAt } from '../endpoints/models/endpoint-at.ts'
import type { ModelStore } from '../models/store.ts'
import { decode, type Intake } from '../pipeline/decode.ts'
import { diagnose } from '../pipeline/diagnose.ts'
import type { Fields, ReadyReply } from '../pipeline/encode.ts'
import { Receipt } from '../pipeline/receipt.ts'
import { type Numerics, type ReplyStyle, replyStyle } from '../pipeline/reply.ts'
import { type Admitted, parse, type Sink, serve } from '../pipeline/serve.ts'
import { Problem } from '../problem.ts'
import { joinParts, PARTIALS } from './cut/join.ts'
import { partOf, squaredError } from './cut/part-endpoint.ts'
import { partSource } from './cut/part-source.ts'
import type { Order, Stored } from './job.ts'
import type { Task, Work } from './queue.ts'
import { JobRequest } from './request.ts'
import type { Store } from './store.ts'
import { StoredSource } from './stored-source.ts'

export interface RunnerParts {
  intake: Intake
  store: Store
  models: ModelStore
  /** what a job may take */
  seconds: number
  log(error: unknown, what: string): void
}

export class Runner implements Work {
  readonly #intake: Intake
  readonly #store: Store
  readonly #models: ModelStore
  readonly #log: RunnerParts['log']
  readonly #seconds: number

  constructor({ intake, store, models, seconds, log }: RunnerParts) {
    this.#log = log
    this.#intake = intake
    this.#models = models
    this.#store = store
    this.#seconds = seconds
  }

  whole(order: Order, task: Task): Promise<Stored> {
    return this.#watched(order, this.#runWhole(order, task))
  }

  part(order: Order, index: number, task: Task): Promise<Stored> {
    return this.#watched(order, this.#runPart(order, index, task))
  }

  join(order: Order, parts: Stored[], task: Task): Promise<Stored> {
    return this.#watched(order, this.#runJoin(order, parts, task))
  }

  /** A fault of this server is told of to its log: what its client sees names the job, and nothing else. */
  async #watched<T>({ id }: Order, running: Promise<T>): Promise<T> {
    try {
      return await running
    } catch (error) {
      if (!(error instanceof Problem)) this.#log(error, `job ${id}`)
      throw error
    }
  }

  async #runWhole(order: Order, task: Task): Promise<Stored> {
    const diagnosing =
      order.endpoint === compare.path
        ? (request: CompareRequest, report: Report) =>
            this.#diagnose(request, report, order.owner, task.signal)
        : undefined
    using held = await endpointAt(order.endpoint, this.#models, task.signal)
    const body = await decode(new StoredSource(this.#store, order.input, order.owner), this.#intake)
    body.tree = parse(JobRequest, body.tree).body
    body.beside = []
    const sink = new StoreSink(this.#store, order, task, diagnosing)
    await below('/body', serve(held.endpoint, body, sink, this.#intake, task.signal))
    return sink.stored as Stored
  }

  async #runPart(order: Order, index: number, task: Task): Promise<Stored> {
    // the elements of the parts' tensors may take more than the text of the whole did
    const intake = { ...this.#intake, mostBytes: Number.POSITIVE_INFINITY }
    using held = await endpointAt(order.endpoint, this.#models, task.signal)
    const endpoint = partOf(held.ofPart(order.whole), order.lossFactor)
    const source = await partSource(this.#store, order, index)
    const sink = new PartSink(this.#store, order, task, intake.engine.arena.memory)
    await below('/body', serve(endpoint, source, sink, intake, task.signal))
    return sink.stored as Stored
  }

  async #runJoin(order: Order, parts: Stored[], { signal }: Task): Promise<Stored> {
    const { engine } = this.#intake
    using held = await endpointAt(order.endpoint, this.#models, signal)
    const pricing = { held, whole: order.whole, engine, client: order.owner, signal }
    const pieces = await joinParts(this.#store, order, parts, pricing)
    signal.throwIfAborted()
    return await this.#store.put(order.id, pieces)
  }

  async forget(id: string): Promise<void> {
    await this.#store.remove(id)
  }

  async #diagnose(request: CompareRequest, report: Report, owner: string, signal: AbortSignal) {
    const until = performance.now() + (this.#seconds * 1000) / 2
    const { engine, budget } = this.#intake
    const spend = budget && ((flops: number) => budget.spend(owner, flops))
    return await diagnose(request, report, engine, signal, until, spend)
  }
}

async function below<T>(pointer: string, serving: Promise<T>): Promise<T> {
  try {
    return await serving
  } catch (error) {
    throw error instanceof Problem ? error.below(pointer) : error
  }
}

type Diagnose = (request: CompareRequest, report: Report) => Promise<unknown>

/** The store as the place where an answer goes: as a safetensors file, of which JSON is made when it is asked for. */
class StoreSink implements Sink<unknown> {
  readonly receipt = new Receipt()
  readonly client: string
  stored: Stored | undefined
  readonly #store: Store
  readonly #order: Order
  readonly #task: Task
  readonly #diagnose: Diagnose | undefined
  #request: unknown

  constructor(store: Store, order: Order, task: Task, diagnose?: Diagnose) {
    this.#store = store
    this.#order = order
    this.#task = task
    this.#diagnose = diagnose
    this.client = order.owner
  }

  style(request: unknown): ReplyStyle {
    this.#request = request
    return replyStyle(request as Numerics, 'safetensors')
  }

  progress(done: number, total: number): void {
    this.#task.progress({ done, total })
  }

  protected fields(ready: ReadyReply): Fields {
    return ready.scalars()
  }

  async end(ready: ReadyReply): Promise<void> {
    const fields = this.fields(ready)
    const request = this.#request as CompareRequest
    if (this.#diagnose !== undefined && request.diagnose && fields.verdict === 'fail') {
      fields.diagnosis = await this.#diagnose(request, fields as Report)
    }
    this.stored = await this.#store.put(this.#order.id, () => ready.stream(fields))
  }
}

/** Of a part: instead of its loss the shares that the whole's is summed of. */
class PartSink extends StoreSink {
  readonly #memory: WebAssembly.Memory
  #admitted: Admitted | undefined

  constructor(store: Store, order: Order, task: Task, memory: WebAssembly.Memory) {
    super(store, order, task)
    this.#memory = memory
  }

  accepted(admitted: Admitted): void {
    this.#admitted = admitted
  }

  protected override fields(ready: ReadyReply): Fields {
    const { loss: _, ...fields } = super.fields(ready)
    const { compiled, lease } = this.#admitted as Admitted
    const step = squaredError(compiled.program)
    if (step === undefined) return fields
    const { offset, length } = lease.placement.buffers[step.tensors.partials]
    const partials = new Float64Array(this.#memory.buffer, offset, length)
    return {
      ...fields,
      [PARTIALS]: Array.from(partials, share => (Number.isFinite(share) ? share : String(share))),
    }
  }
}
