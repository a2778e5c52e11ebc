/** Jobs as their clients see them: taken, looked at, cancelled, and their results. */
import { randomUUID } from 'node:crypto'
import { shortened } from '../../workers/text/json-pointer.ts'
import type { Config } from '../config.ts'
import { endpointAt, type Held } from '../endpoints/models/endpoint-at.ts'
import type { ModelStore } from '../models/store.ts'
import type { Decoded, Intake } from '../pipeline/decode.ts'
import { type Numerics, replyStyle } from '../pipeline/reply.ts'
import { compileInTurn, parse, refuseMisplaced } from '../pipeline/serve.ts'
import { Problem } from '../problem.ts'
import { squaredError } from './cut/part-endpoint.ts'
import { subjectOfOrder } from './cut/part-source.ts'
import { type Cut, planCut } from './cut/plan-cut.ts'
import { takeTensors } from './cut/tensors.ts'
import { wholeInput } from './cut/whole-input.ts'
import { checkData } from './data-check.ts'
import type { Job, JobState, Order, Stored } from './job.ts'
import { MemoryQueue } from './memory-queue.ts'
import { openStore } from './open-store.ts'
import type { Queue, QueueLimits } from './queue.ts'
import { JobRequest } from './request.ts'
import { Runner } from './runner.ts'
import { digestOf, type Store } from './store.ts'

/** As `randomUUID` writes it. */
const IS_ID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/
const ID_LENGTH = 36

export interface JobsOptions
  extends QueueLimits,
    Pick<Config, 'STORE_URL' | 'STORE_BYTES' | 'REDIS_URL' | 'JOB_LOCK_SECONDS' | 'DRAIN_SECONDS'> {}

/** Who sends a job, and under which name. */
export interface Sender {
  owner: string
  idempotencyKey: string | undefined
}

interface Parts {
  store: Store
  intake: Intake
  models: ModelStore
  /** time that a job, or a part of one, may take */
  seconds: number
}

export class Jobs {
  readonly store: Store
  /** the queue is that of several servers */
  readonly shared: boolean
  readonly #queue: Queue
  readonly #intake: Intake
  readonly #models: ModelStore
  /** time that a job, or a part of one, may take */
  readonly #seconds: number

  /** `log` is told what goes wrong in the background. */
  static async open(
    options: JobsOptions,
    intake: Intake,
    models: ModelStore,
    log: (error: unknown, what: string) => void,
  ): Promise<Jobs> {
    const store = await openStore(options)
    const runner = new Runner({ intake, store, models, seconds: options.JOB_SECONDS, log })
    const { REDIS_URL: url, JOB_LOCK_SECONDS: lockSeconds, DRAIN_SECONDS } = options
    const shared = { store, intake, models, seconds: options.JOB_SECONDS }
    if (url === undefined) return new Jobs(shared, new MemoryQueue(options, runner), false)
    // BullMQ takes its time to load
    const { RedisQueue } = await import('./redis/queue.ts')
    const graceMs = (DRAIN_SECONDS * 1000) / 2
    const queue = new RedisQueue({ url, limits: options, lockSeconds, graceMs, log }, runner)
    // the first job is not to be refused because the connection is a moment behind
    await queue.opened
    return new Jobs(shared, queue, true)
  }

  private constructor({ store, intake, models, seconds }: Parts, queue: Queue, shared: boolean) {
    this.#seconds = seconds
    this.#models = models
    this.store = store
    this.shared = shared
    this.#queue = queue
    this.#intake = intake
  }

  get available(): boolean {
    return this.#queue.available
  }

  /** Throws what is wrong with the request, as its endpoint would say it. */
  async submit(body: Decoded, sender: Sender, signal: AbortSignal): Promise<Job> {
    if (body.beside.length > 0) refuseMisplaced(JobRequest, body.beside)
    const request = parse(JobRequest, body.tree)
    const bytes = body.whole as Uint8Array
    if (bytes.length > this.store.mostBytes) {
      const detail = `expected at most ${this.store.mostBytes} bytes, what the store of jobs holds, got ${bytes.length}`
      throw new Problem('BODY_TOO_LARGE', detail)
    }
    using held = await endpointAt(request.endpoint, this.#models, signal)
    const id = randomUUID()
    const { style, cut, lossFactor } = await this.#examine(held, request.body, body, sender.owner, signal)
    const { digest } = await digestOf([bytes])
    const { owner, idempotencyKey } = sender
    const order: Order = {
      id,
      endpoint: request.endpoint,
      input: { name: `${id}/${digest}`, bytes: bytes.length, digest, format: body.format },
      style,
      ...(cut && { parts: cut.parts }),
      ...(cut && held.whole && { whole: held.whole }),
      ...(lossFactor !== undefined && { lossFactor }),
      owner,
      priority: request.priority,
      created: Date.now(),
    }
    const key = idempotencyKey === undefined ? undefined : { key: idempotencyKey, digest }
    return await this.#queue.add(order, key, async () => {
      if (cut === undefined) await this.store.put(id, () => [bytes])
      else await this.#storeWhole(order, request.body, signal)
    })
  }

  /** Throws a 404. */
  async get(id: string, owner: string | undefined): Promise<Job> {
    // no other name reaches the queue: there it may be one of its own keys
    return this.#known(id, IS_ID.test(id) ? await this.#queue.get(id) : undefined, owner)
  }

  async cancel(id: string, owner: string | undefined): Promise<Job> {
    await this.get(id, owner)
    return this.#known(id, await this.#queue.cancel(id), owner)
  }

  /** Throws why there is none. */
  async result(id: string, owner: string | undefined): Promise<{ order: Order; stored: Stored }> {
    const job = await this.get(id, owner)
    const { order, state, result, progress, problem } = job
    if (state === 'done' && result !== undefined) return { order, stored: result }
    const members = { state, progress }
    if (state === 'expired') {
      throw new Problem('JOB_EXPIRED', `expected the result while it was kept; it has expired`, { members })
    }
    if (state === 'cancelled') throw new Problem('JOB_CANCELLED', `job ${id} was cancelled`, { members })
    if (problem !== undefined) {
      const { code, detail, errors = [] } = problem
      throw new Problem(code, detail, { errors, members })
    }
    const { done, total } = progress
    const detail = `expected a job that is done, got one that is ${state} (${done} of ${total || 'unknown'})`
    throw new Problem('JOB_NOT_READY', detail, { members, retryAfter: 1 })
  }

  watch(id: string, tell: () => void): () => void {
    return this.#queue.watch(id, tell)
  }

  counts(): Promise<Record<JobState, number>> {
    return this.#queue.counts()
  }

  waitSeconds(): Promise<number> {
    return this.#queue.waitSeconds()
  }

  /** No other job is begun; settles when none runs here. */
  drain(): Promise<void> {
    return this.#queue.drain()
  }

  async close(): Promise<void> {
    await this.#queue.close()
    await this.store.close()
  }

  #known(id: string, job: Job | undefined, owner: string | undefined): Job {
    if (job === undefined || (owner !== undefined && job.order.owner !== owner)) {
      throw new Problem('NOT_FOUND', `no job ${shortened(id, ID_LENGTH)}`)
    }
    return job
  }

  /** Everything that can be wrong with the body, but for what is only seen by computing; and how it is cut where it is too large. */
  async #examine(
    held: Held,
    tree: Record<string, unknown>,
    body: Decoded,
    owner: string,
    signal: AbortSignal,
  ): Promise<{ style: Order['style']; cut?: Cut; lossFactor?: number }> {
    const { engine, budget } = this.#intake
    const { endpoint } = held
    try {
      const request = parse(endpoint.request, tree)
      if (endpoint.prepare !== undefined) await endpoint.prepare(request, body, signal)
      const { encoding, dtype, ...style } = replyStyle(request as Numerics, 'safetensors')
      const whole = { ...style, encoding, dtype }
      const { program, memory } = await compileInTurn(endpoint, request, whole, engine, owner, signal)
      const estimate = engine.estimate(program, memory)
      const refusal = engine.refusal(estimate)
      const tooLarge = refusal !== undefined || estimate.seconds > this.#seconds
      const large = { held, tree, shapeAlone: false, engine, seconds: this.#seconds, client: owner, signal }
      const cut = tooLarge ? await planCut(large) : undefined
      if (refusal !== undefined && typeof cut === 'string') {
        throw new Problem(refusal.code, `${refusal.message}; it cannot be cut: ${cut}`)
      }
      const { flops } = typeof cut === 'object' ? cut.estimate : estimate
      const never = await budget?.never(owner, flops)
      if (never !== undefined) throw never
      await checkData(program, engine, signal)
      if (typeof cut !== 'object') return { style: { encoding, dtype } }
      const lossFactor = squaredError(program)?.args.factor
      return { style: { encoding, dtype }, cut, ...(lossFactor !== undefined && { lossFactor }) }
    } catch (error) {
      throw error instanceof Problem ? error.below('/body') : error
    }
  }

  /** Of a job that is cut, the elements instead of the body: its parts read stretches of them. */
  async #storeWhole(order: Order, tree: Record<string, unknown>, signal: AbortSignal): Promise<void> {
    const taken = takeTensors(subjectOfOrder(order), tree, false)
    const stored = await this.store.put(order.id, () => wholeInput(taken, this.#intake.engine, signal))
    order.input = { ...stored, format: 'safetensors' }
  }
}
