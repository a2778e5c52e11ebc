/**
 * One run: a stack computed layer by layer, whose frames leave as soon as their layer is there. At a mark of its program
 * the job is held until the frame has a credit and the frame before it has left; a held job occupies no worker.
 */
import type { Step } from '../../../workers/contract.ts'
import type { FetchMessage, StartMessage } from '../../endpoints/stream-messages.ts'
import { compileStream, type LayerFrame, type StreamProgram } from '../../endpoints/stream-run.ts'
import type { Engine, Lease } from '../../engine/engine.ts'
import type { JobReport } from '../../engine/job.ts'
import { fetchMap } from '../../layers/fetch-map.ts'
import type { Body } from '../../pipeline/decode.ts'
import { throwFault } from '../../pipeline/fault-problem.ts'
import { Answer, type AnswerStyle } from '../../pipeline/reply.ts'
import { scalars } from '../../pipeline/scalars.ts'
import { Timings, width } from '../../pipeline/timings.ts'
import { fieldProblem, Problem } from '../../problem.ts'
import { type Program, singleStep } from '../../program.ts'
import { Credit } from './credit.ts'
import { type Limits, Stopwatch } from './run-clock.ts'
import type { Outbox } from './send-queue.ts'

/** What a run needs of the connection it belongs to. */
export interface Port extends Limits {
  compute: Engine
  outbox: Outbox
  /** fires when the connection is gone */
  closed: AbortSignal
  /** a message with tensors has left */
  sent(type: FrameType): void
}

export type FrameType = 'layer' | 'done' | 'map'

/** A message's fields that are no tensors. */
type Rest = { type: FrameType } & Record<string, unknown>

/** Why a run was aborted: its client said so. */
class Cancelled extends Error {}

export type Outcome = { kind: 'done' } | { kind: 'cancelled' } | { kind: 'failed'; error: unknown }

export class Run {
  readonly id: string
  readonly lease: Lease
  readonly #port: Port
  readonly #body: Body
  readonly #style: AnswerStyle
  readonly #compiled: StreamProgram
  /** one for each mark */
  readonly #answers: (Answer | undefined)[] = []
  readonly #done: Answer
  readonly #credit: Credit
  readonly #stopwatch: Stopwatch
  readonly #abort = new AbortController()
  readonly #timings = new Timings()
  readonly #accepted = performance.now()
  /** the frame that is on its way */
  #sending: Promise<void> | undefined
  #reached = 0
  /** whoever reads the run's memory: the run itself, and fetches */
  #users = 1
  #kept = false
  /** its client has said that it will fetch nothing */
  #unwanted = false

  /** Throws what is wrong with the message, or why the run is not admitted; the body is then still the caller's. */
  constructor(message: StartMessage, body: Body, port: Port) {
    this.id = message.id
    this.#port = port
    this.#body = body
    this.#style = styleOf(message)
    this.#compiled = compileStream(message, (program, { outputs }) => {
      const answer = outputs.length === 0 ? undefined : new Answer(program, outputs, this.#style)
      this.#answers.push(answer)
      return answer?.buffers ?? []
    })
    const { program } = this.#compiled
    this.#done = new Answer(program, program.outputs, this.#style)
    for (const buffer of this.#done.buffers) program.keep(buffer)
    this.#credit = new Credit(message.credit)
    this.#stopwatch = new Stopwatch(port, problem => this.#abort.abort(problem))
    this.lease = port.compute.admit(program)
  }

  get precision(): string {
    return this.#compiled.program.precision
  }

  get layers(): number {
    return this.#compiled.frames.filter(({ pass }) => pass === 'forward').length
  }

  /** Runs to the end. The memory is free afterwards, unless maps stay for `fetch`. */
  async execute(): Promise<Outcome> {
    const leave = () => this.#abort.abort(new Problem('CLIENT_CLOSED', 'the client left'))
    this.#port.closed.addEventListener('abort', leave)
    try {
      if (this.#port.closed.aborted) leave()
      await this.#compute()
      this.#kept = this.#compiled.kept.length > 0 && !this.#unwanted && !this.#port.closed.aborted
      return { kind: 'done' }
    } catch (error) {
      return error instanceof Cancelled ? { kind: 'cancelled' } : { kind: 'failed', error }
    } finally {
      this.#stopwatch.end()
      this.#port.closed.removeEventListener('abort', leave)
      await this.#sending?.catch(() => {})
      this.#body.release()
      if (!this.#kept) this.#leave()
    }
  }

  credit(add: number): void {
    this.#credit.add(add)
  }

  cancel(): void {
    this.#abort.abort(new Cancelled())
  }

  /** Whether its memory is kept for `fetch`. */
  get kept(): boolean {
    return this.#kept
  }

  /** Nobody will fetch its maps any more. */
  release(): void {
    this.#unwanted = true
    if (!this.#kept) return
    this.#kept = false
    this.#leave()
  }

  /** Answers one head of a map that has been computed. */
  async fetch({ layer, head, tensor, pass }: FetchMessage): Promise<void> {
    const { compute, closed } = this.#port
    const { kept, frames, maps, program } = this.#compiled
    if (kept.length === 0) throw refused('', 'a run with detail', 'one without')
    const map = kept.find(each => each.layer === layer && each.tensor === tensor)
    if (map === undefined) throw refused('/tensor', 'a map that the run emits', `${tensor} of layer ${layer}`)
    if (pass !== undefined && pass !== map.pass) throw refused('/pass', map.pass, pass)
    const index = maps.heads.indexOf(head)
    if (index < 0)
      throw refused('/head', `one of the run's heads ${maps.heads.slice(0, 12).join(', ')}`, head)
    const mark = frames.findIndex(each => each.pass === map.pass && each.index === layer)
    if (mark >= this.#reached) throw refused('/layer', 'a layer that has been computed', layer)
    this.#users++
    let lease: Lease | undefined
    try {
      const place = this.lease.placement.buffers[map.buffer]
      const cut = fetchMap(program.precision, place, maps, index)
      const answer = new Answer(cut, cut.outputs, this.#style)
      for (const buffer of answer.buffers) cut.keep(buffer)
      lease = compute.admit(cut)
      await compute.run(lease, closed)
      await this.#send(answer, cut, lease, {
        ...{ type: 'map', id: this.id, layer, head, tensor, pass: map.pass },
      })
    } finally {
      lease?.release()
      this.#leave()
    }
  }

  async #compute(): Promise<void> {
    const { compute, outbox } = this.#port
    const { program } = this.#compiled
    const { flops, bytes, seconds } = this.lease.estimate
    void outbox
      .text({ type: 'accepted', id: this.id, layers: this.layers, plan: { flops, bytes, seconds } })
      .catch(() => {})
    this.#stopwatch.compute()
    const watch = (mark: number, report: JobReport) => this.#arrive(mark, report)
    const report = await compute.run(this.lease, this.#abort.signal, watch)
    this.#timings.addReport(report)
    throwFault(report, program)
    this.#stopwatch.wait()
    await this.#sending
    this.#abort.signal.throwIfAborted()
    const { decode, queue, compute: computing, encode } = this.#timings
    const total = performance.now() - this.#accepted
    await this.#send(this.#done, program, this.lease, {
      ...{ type: 'done', id: this.id, ...scalars(program, this.lease, compute.arena.memory) },
      timing: rounded({ total, decode, queue, compute: computing, encode }),
    })
  }

  /** A layer is complete. */
  #arrive(mark: number, { spans }: JobReport): Promise<void> | undefined {
    this.#reached = mark + 1
    this.#timings.addReport({ spans, queueMs: 0 })
    const timing = rounded({ at: performance.now() - this.#accepted, compute: width(spans.compute) })
    const answer = this.#answers[mark]
    const { frames } = this.#compiled
    // the memory of the frame before may be given to others from here on: it must have left
    const held = answer !== undefined || this.#sending !== undefined
    const delivered = held ? this.#deliver(answer, frames[mark], timing) : undefined
    const progress = { type: 'progress', id: this.id, done: this.#reached, total: frames.length }
    void this.#port.outbox.text(progress).catch(() => {})
    return delivered
  }

  async #deliver(answer: Answer | undefined, { pass, index }: LayerFrame, timing: object): Promise<void> {
    this.#stopwatch.wait()
    await this.#sending
    if (answer !== undefined) {
      await this.#credit.take()
      if (this.#abort.signal.aborted) return
      const rest: Rest = { type: 'layer', id: this.id, pass, index, timing }
      const sending = this.#send(answer, this.#compiled.program, this.lease, rest).finally(() => {
        if (this.#sending === sending) this.#sending = undefined
      })
      sending.catch(() => {})
      this.#sending = sending
    }
    this.#stopwatch.compute()
  }

  #send(answer: Answer, program: Program, { placement }: Lease, rest: Rest): Promise<void> {
    const { compute, outbox, closed, sent } = this.#port
    const write = (step: Step) => compute.run({ program: singleStep(program, step), placement }, closed)
    const run = async (step: Step) => {
      // a message that has begun must be ended: a worker that dies under it is made up for, once
      await write(step).catch(error => {
        if (closed.aborted) throw error
        return write(step)
      })
    }
    const pieces = answer.stream(compute.arena.memory, placement, rest, run)
    return outbox.message(this.#style.format === 'safetensors', pieces).then(() => sent(rest.type))
  }

  #leave(): void {
    this.#users--
    if (this.#users === 0) this.lease.release()
  }
}

function styleOf({ encoding, output_dtype, precision }: StartMessage): AnswerStyle {
  const dtype = output_dtype ?? precision
  return encoding === 'safetensors'
    ? { format: 'safetensors', encoding: 'base64', dtype, rest: 'frame' }
    : { format: 'json', encoding, dtype, rest: 'frame' }
}

function refused(path: string, expected: string, got: string | number): Problem {
  return fieldProblem('INVALID_REQUEST', path, `expected ${expected}, got ${got}`)
}

function rounded(times: Record<string, number>): Record<string, number> {
  return Object.fromEntries(Object.entries(times).map(([name, ms]) => [name, Math.round(ms * 1000) / 1000]))
}
