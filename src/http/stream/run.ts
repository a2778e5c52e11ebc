/**
 * One run: a stack or a model computed layer by layer, whose frames leave as soon as their layer is there. At a barrier of its program
 * the job is held until the frame has a credit and the frame before it has left; a held job occupies no worker.
 */
import type { FetchMessage, Resume } from '../../endpoints/stream-messages.ts'
import type { StreamRun } from '../../endpoints/stream-run.ts'
import type { Lease } from '../../engine/admission.ts'
import { Decoded } from '../../pipeline/decode.ts'
import type { Fields, ReadyReply } from '../../pipeline/encode.ts'
import { Receipt, Stages } from '../../pipeline/receipt.ts'
import type { ReplyStyle } from '../../pipeline/reply.ts'
import { type Admitted, type ReachedFrame, type Sink, serve } from '../../pipeline/serve.ts'
import { Problem } from '../../problem.ts'
import type { RunTrace } from '../telemetry/runs.ts'
import { Credit } from './credit.ts'
import { type FrameFields, frameFields, styleOf } from './frame-fields.ts'
import type { HeldRun } from './held-runs.ts'
import { fetchOf, noMaps } from './kept-map.ts'
import { isWanted, resumeAt } from './resume.ts'
import { RunClock, rounded } from './run-clock.ts'
import type { AnyStart, RunContext } from './run-context.ts'

/** Time for a message that is on its way when its run is given up. */
const LAST_BYTES_MS = 200

/** Why a run was aborted: its client said so. */
export class Cancelled extends Error {}

export class Run implements Sink<AnyStart> {
  readonly receipt = new Receipt()
  readonly #context: RunContext<Run>
  readonly #bodyBytes: number
  readonly #clock: RunClock
  readonly #abort = new AbortController()
  readonly #leave = () => this.#abort.abort(new Problem('CLIENT_CLOSED', 'the client left'))
  #message: AnyStart | undefined
  #style: ReplyStyle | undefined
  #admitted: Admitted | undefined
  #accepted = 0
  readonly #credit = new Credit()
  /** the frame that is on its way */
  #sending: Promise<void> | undefined
  #reached = 0
  /** of the last frame that has left */
  #last: Fields | undefined
  /** its memory, held for `fetch` */
  #held: Lease | undefined
  /** while it waits for its client, or is kept */
  #waiting: HeldRun | undefined
  #ended = false
  /** its client has said that it will fetch nothing */
  #unwanted = false
  /** of what it runs, once it has been admitted */
  layers = 0
  readonly #about: StreamRun<AnyStart>['accepted']
  readonly #came = performance.timeOrigin + performance.now()
  #trace: RunTrace | undefined

  /**
   * `bodyBytes`: the memory of the message that began it, which it holds until it has ended; `about`: what is told when it has
   * been accepted.
   */
  constructor(context: RunContext<Run>, bodyBytes: number, about: StreamRun<AnyStart>['accepted']) {
    this.#context = context
    this.#about = about
    this.#bodyBytes = bodyBytes
    this.#clock = new RunClock(context, {
      late: problem => this.#abort.abort(problem),
      giveUp: problem => this.#giveUp(problem),
    })
    context.closed.addEventListener('abort', this.#leave)
    if (context.closed.aborted) this.#leave()
  }

  get signal(): AbortSignal {
    return this.#abort.signal
  }

  get closed(): AbortSignal {
    return this.#context.closed
  }

  get client(): string | undefined {
    return this.#context.client
  }

  /** undefined until it has been read and found right */
  get message(): AnyStart | undefined {
    return this.#message
  }

  get admitted(): boolean {
    return this.#admitted !== undefined
  }

  /** What goes on with it on another server; undefined where there is nothing to go on with. */
  get resume(): Resume | undefined {
    if (this.#ended || this.#admitted === undefined || this.#last?.type === 'done') return undefined
    return resumeAt(this.#message as AnyStart, this.#admitted.compiled.program, this.#last)
  }

  /** Whether nothing of it is computed until its client reads or gives credit. */
  get waits(): boolean {
    return this.#waiting !== undefined
  }

  /** Whether its memory is kept for `fetch` after its end. */
  get kept(): boolean {
    return this.#ended && this.#held !== undefined
  }

  /** Its message is right in itself, and it is no run of a stack: what its message names is yet to be loaded. */
  begin(message: AnyStart): void {
    this.#message = message
    this.#context.mayBegin(message)
    this.#clock.compute()
    this.#context.begun(this)
  }

  style(message: AnyStart): ReplyStyle {
    if (this.#message === undefined) {
      this.#message = message
      this.#context.mayBegin(message)
    }
    this.#trace = this.#context.traces?.begin(message.id, this.#came, message)
    this.receipt.stages = this.#trace && new Stages(this.#trace.follow)
    this.#credit.add(message.credit)
    this.#style = styleOf(message)
    return this.#style
  }

  accepted(admitted: Admitted): void {
    const message = this.#message as AnyStart
    const { flops, bytes, seconds } = admitted.lease.estimate
    this.#admitted = admitted
    this.#accepted = performance.now()
    if (admitted.compiled.program.kept.length > 0) this.#held = admitted.lease.hold()
    const traced = this.#trace && { traceresponse: this.#trace.traceresponse }
    const told = this.#about(message)
    this.layers = told.layers
    this.#tell({ type: 'accepted', id: message.id, ...told, plan: { flops, bytes, seconds }, ...traced })
    this.#clock.compute()
    this.#context.begun(this)
  }

  /** A layer is complete. */
  frame({ index, frame, computeMs, reply }: ReachedFrame): Promise<void> | undefined {
    const { id } = this.#message as AnyStart
    this.#reached = index + 1
    const timing = rounded({ at: performance.now() - this.#accepted, compute: computeMs })
    const fields = frameFields(id, frame, timing)
    // the memory of the frame before may be given to others from here on: it must have left
    const { program } = (this.#admitted as Admitted).compiled
    const wanted = isWanted(index, program, this.#message?.resume) ? reply : undefined
    const waits = wanted !== undefined || this.#sending !== undefined
    const delivered = waits ? this.#deliver(wanted, fields) : undefined
    const total = this.#admitted?.compiled.frames.length
    this.#tell({ type: 'progress', id, done: this.#reached, total })
    return delivered
  }

  async end(reply: ReadyReply): Promise<void> {
    const { id } = this.#message as AnyStart
    this.#wait()
    await this.#sending
    this.signal.throwIfAborted()
    const { decode, queue, compute, encode } = this.receipt.timings
    const total = performance.now() - this.#accepted
    const timing = rounded({ total, decode, queue, compute, encode })
    await this.#send(reply, { type: 'done', id, ...reply.scalars(), timing })
  }

  async idle(): Promise<void> {
    await this.#sending?.catch(() => {})
  }

  credit(add: number): void {
    this.#credit.add(add)
  }

  /** Nothing more is to come of it; `why` is not told where its client has said so itself. */
  cancel(why: Error = new Cancelled()): void {
    this.#abort.abort(why)
  }

  /** whole milliseconds since it was accepted */
  get ms(): number {
    return Math.round(performance.now() - this.#accepted)
  }

  /** Nothing more comes of it but what is fetched; `code`: why it has not ended well. */
  ended(well: boolean, code?: string): void {
    this.#trace?.end(code)
    this.#clock.end()
    this.#goOn()
    this.#context.closed.removeEventListener('abort', this.#leave)
    this.#ended = true
    if (!well || this.#held === undefined || this.#unwanted || this.#context.closed.aborted) this.release()
    else this.#hold()
  }

  /** Its maps will not be fetched any more. */
  release(): void {
    this.#unwanted = true
    if (!this.#ended) return
    this.#clock[Symbol.dispose]()
    this.#held?.[Symbol.dispose]()
    this.#held = undefined
    this.#goOn()
  }

  /** Answers one head of a map that has been computed. */
  async fetch(message: FetchMessage): Promise<void> {
    this.#waiting?.touch()
    const { layer, head, tensor, stack } = message
    const admitted = this.#admitted
    if (admitted === undefined) throw noMaps()
    const { endpoint, pass } = fetchOf(admitted, this.#reached, message)
    using _held = admitted.lease.hold()
    const { id } = this.#message as AnyStart
    const { intake, closed } = this.#context
    const sink: Sink<object> = {
      receipt: new Receipt(),
      style: () => this.#style as ReplyStyle,
      end: reply =>
        this.#send(reply, { type: 'map', id, layer, head, tensor, ...(stack && { stack }), pass }),
    }
    await serve(endpoint, new Decoded('json', intake.engine, message), sink, intake, closed)
  }

  async #deliver(reply: ReadyReply | undefined, fields: FrameFields): Promise<void> {
    this.#wait()
    await this.#sending
    if (reply !== undefined) {
      // tokens are small: they go as fast as their client reads
      if (fields.type === 'layer') await this.#credit.take()
      if (this.signal.aborted) return
      const sending = this.#send(reply, { ...fields, ...reply.frameFields() }).finally(() => {
        if (this.#sending === sending) this.#sending = undefined
      })
      sending.catch(() => {})
      this.#sending = sending
      // behind the last token of a text its program goes on further behind, where the memory may be others'
      if (fields.type === 'token') await sending
    }
    this.#goOn()
    this.#clock.compute()
  }

  #wait(): void {
    this.#clock.wait()
    this.#hold()
  }

  #hold(): void {
    const { bytes } = (this.#admitted as Admitted).lease.estimate
    const memory = this.#ended
      ? { bytes, idleMs: 0 }
      : { bytes: bytes + this.#bodyBytes, idleMs: this.#clock.idleMs }
    this.#waiting ??= this.#context.hold(memory, problem => this.#giveUp(problem))
  }

  #goOn(): void {
    this.#waiting?.[Symbol.dispose]()
    this.#waiting = undefined
  }

  /** It has waited too long, or others need its memory. */
  #giveUp(problem: Problem): void {
    if (this.#ended) {
      this.#context.forget(this)
      return
    }
    this.#abort.abort(problem)
    setTimeout(() => {
      if (!this.#ended) this.#context.cutOff()
    }, LAST_BYTES_MS)
  }

  async #send(reply: ReadyReply, fields: FrameFields): Promise<void> {
    await this.#context.queue.message(reply.binary, reply.stream(fields), () => this.#waiting?.touch())
    this.#context.sent(fields.type)
    if (fields.type !== 'map') this.#last = fields
  }

  #tell(message: object): void {
    this.#context.queue.text(message).catch(() => {})
  }
}
