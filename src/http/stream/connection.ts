/** One client: its messages one after the other, its runs side by side, and nothing left of either when it goes. */
import type { Socket } from 'node:net'
import type { WebSocket } from 'ws'
import { shortened } from '../../../workers/text/json-pointer.ts'
import { type FetchMessage, RunId } from '../../endpoints/stream-messages.ts'
import { type Decoded, decode } from '../../pipeline/decode.ts'
import { SCAN_HERE } from '../../pipeline/scan.ts'
import { fieldProblem, Problem, problemOf } from '../../problem.ts'
import { beginRun } from './begin-run.ts'
import { closeForGood, draining, explainClosing } from './closing.ts'
import type { ConnectionContext } from './connection-context.ts'
import type { FrameType } from './frame-fields.ts'
import type { HeldMemory, Holdings } from './held-runs.ts'
import { Inbox } from './inbox.ts'
import { IncomingMessages } from './incoming-messages.ts'
import {
  type ControlMessage,
  controlMessage,
  type Message,
  MessageSource,
  messageOf,
  NoText,
  typeOf,
} from './messages.ts'
import { Cancelled, type Run } from './run.ts'
import type { AnyStart } from './run-context.ts'
import { SendQueue } from './send-queue.ts'

/** Runs of one connection at once, with those whose maps are kept. */
const MOST_RUNS = 32
const MOST_FETCHES = 32
/** Ids of runs that have ended: their client may not know yet. */
const MOST_ENDED = 256

export class Connection {
  readonly #socket: WebSocket
  readonly #context: ConnectionContext
  readonly #queue: SendQueue
  readonly #holdings: Holdings
  readonly #closed = new AbortController()
  readonly #runs = new Map<string, Run>()
  readonly #keeping = new Map<Run, NodeJS.Timeout>()
  readonly #ended = new Set<string>()
  readonly #inbox: Inbox
  #fetches = 0
  #goingAway = false
  #alive = true

  constructor(socket: WebSocket, raw: Socket, context: ConnectionContext) {
    this.#socket = socket
    this.#context = context
    this.#queue = new SendQueue(socket, context.idleSeconds)
    explainClosing(socket, this.#queue, context.requestId)
    this.#holdings = { client: context.client, bytes: 0 }
    const stop = (problem: Problem) => this.#stop(problem)
    const incoming = new IncomingMessages(socket, raw, context.client, context.intake, stop)
    this.#inbox = new Inbox(incoming, this.#queue, message => this.#handle(message))
    socket.on('message', (data, binary) => {
      this.#alive = true
      this.#inbox.add(messageOf(data as Buffer | Buffer[], binary, incoming.text))
    })
    socket.on('pong', () => {
      this.#alive = true
    })
    socket.on('close', () => {
      this.#closed.abort()
      for (const run of this.#keeping.keys()) this.#forget(run)
    })
  }

  /** No run is taken any more; the connection ends with the last one. Told behind the frames that are on their way: those have come. */
  goAway(): void {
    this.#goingAway = true
    this.#send(() => {
      const resume = [...this.#runs.values()].flatMap(run => run.resume ?? [])
      return { type: 'going_away', ...(resume.length > 0 && { resume }) }
    })
    for (const run of this.#runs.values()) if (!run.admitted) run.cancel(draining())
    for (const run of this.#keeping.keys()) this.#forget(run)
    this.#leaveWhenIdle()
  }

  /** The time to finish is over. Whether anything was still computed, rather than waited for its client. */
  end(): boolean {
    const fetching = this.#fetches > 0 && this.#queue.idle
    const computing = this.#runs.values().some(run => !run.waits)
    closeForGood(this.#socket, 1001, 'going away')
    return fetching || computing
  }

  /** To be called now and then: a client that answers nothing is gone. */
  checkAlive(): void {
    if (this.#inbox.reading || !this.#queue.idle) return
    if (!this.#alive) this.#socket.terminate()
    this.#alive = false
    if (this.#socket.readyState === this.#socket.OPEN) this.#socket.ping()
  }

  async #handle(message: Message): Promise<void> {
    const context = this.#context
    const { control, intake } = context
    if (this.#closed.signal.aborted) return
    try {
      if (!message.binary && !message.unseen && message.length <= SCAN_HERE) {
        const tree = control.read(message)
        const type = tree === undefined ? undefined : typeOf(tree)
        if (type !== undefined && type !== 'start') return this.#control(controlMessage(type, tree))
      }
      using read = new DisposableStack()
      const body = read.use(await decode(new MessageSource(message), intake))
      const type = typeOf(body.tree)
      if (type !== 'start') return this.#control(controlMessage(type, body.tree))
      const refusal = await context.count?.().catch((problem: unknown) => problem)
      if (refusal !== undefined) return this.#complain(refusal, this.#about(body))
      read.move()
      await this.#start(body)
    } catch (error) {
      if (error instanceof NoText) this.#socket.close(1007)
      else this.#complain(error)
    }
  }

  #control(message: ControlMessage): void {
    const run = this.#runs.get(message.id)
    if (run === undefined) {
      if (message.type !== 'fetch' && this.#ended.has(message.id)) return
      const got = JSON.stringify(shortened(message.id))
      throw fieldProblem('INVALID_REQUEST', '/id', `expected the id of a run, got ${got}`)
    }
    if (message.type === 'credit') run.credit(message.add)
    else if (message.type === 'cancel') this.#cancel(run)
    else if (message.type === 'release') this.#release(run)
    else void this.#fetch(run, message)
  }

  /** Settles when the run has begun or has been refused: the next message is read after that. */
  async #start(body: Decoded): Promise<void> {
    const begun = Promise.withResolvers<void>()
    const { metrics, held, models } = this.#context
    const context = {
      ...this.#context,
      queue: this.#queue,
      closed: this.#closed.signal,
      mayBegin: (message: AnyStart) => this.#mayBegin(message),
      begun: (admitted: Run) => {
        this.#begun(admitted)
        begun.resolve()
      },
      sent: (type: FrameType) => metrics.frame(type),
      hold: (memory: HeldMemory, giveWay: (problem: Problem) => void) =>
        held.hold(this.#holdings, memory, giveWay),
      forget: (kept: Run) => this.#forget(kept),
      cutOff: () => {
        if (!this.#queue.betweenMessages) this.#socket.terminate()
      },
    }
    const failed = (error: unknown) => {
      run.ended(false, problemOf(error).code)
      if (run.admitted) this.#over(run, error)
      else this.#refused(run, body, error)
      begun.resolve()
    }
    const done = () => {
      run.ended(true)
      this.#over(run)
    }
    const { run, served } = beginRun(context, body, models)
    served.then(done, failed)
    await begun.promise
  }

  /** Throws why such a run does not begin now. */
  #mayBegin({ id }: AnyStart): void {
    if (this.#runs.has(id)) {
      const got = JSON.stringify(shortened(id))
      throw fieldProblem('INVALID_REQUEST', '/id', `expected an id that no run has, got ${got}`)
    }
    if (this.#goingAway) throw draining()
    if (this.#runs.size >= MOST_RUNS) {
      const detail = `expected at most ${MOST_RUNS} runs at once on one connection, got one more`
      throw new Problem('TOO_MANY', detail)
    }
  }

  #begun(run: Run): void {
    const { id } = run.message as AnyStart
    this.#runs.set(id, run)
    this.#ended.delete(id)
  }

  /** The error has the id of the run that was to begin, unless another run has it: that one goes on. */
  #about({ tree }: Decoded): { id?: string } {
    const { data: id } = RunId.safeParse((tree as Record<string, unknown>).id)
    return id === undefined || this.#runs.has(id) ? {} : { id }
  }

  #refused(run: Run, body: Decoded, error: unknown): void {
    const { metrics } = this.#context
    const { message } = run
    if (message !== undefined && this.#runs.get(message.id) === run) this.#runs.delete(message.id)
    const about = this.#about(body)
    const cancelled = error instanceof Cancelled
    if (message !== undefined && about.id !== undefined) metrics.run(cancelled ? 'cancelled' : 'refused')
    if (cancelled) this.#send({ type: 'cancelled', ...about })
    else this.#complain(error, about)
    this.#leaveWhenIdle()
  }

  /** A run has ended, and its memory is free but for what is kept. */
  #over(run: Run, error?: unknown): void {
    const { metrics, log, idleSeconds } = this.#context
    const { id } = run.message as AnyStart
    const outcome = error === undefined ? 'done' : error instanceof Cancelled ? 'cancelled' : 'failed'
    metrics.run(outcome)
    const { precision, flops, bytes } = run.receipt.work ?? {}
    const code = outcome === 'failed' ? problemOf(error).code : undefined
    log.info({ layers: run.layers, outcome, ms: run.ms, precision, flops, bytes, code }, 'run')
    if (run.kept && !this.#goingAway) {
      this.#keeping.set(
        run,
        setTimeout(() => this.#forget(run), idleSeconds * 1000),
      )
    } else this.#forget(run)
    if (outcome === 'cancelled') this.#send({ type: 'cancelled', id })
    if (outcome === 'failed') this.#complain(error, { id })
    this.#leaveWhenIdle()
  }

  #cancel(run: Run): void {
    if (this.#keeping.has(run)) this.#forget(run)
    else run.cancel()
  }

  #release(run: Run): void {
    if (this.#keeping.has(run)) this.#forget(run)
    else run.release()
  }

  #forget(run: Run): void {
    run.release()
    clearTimeout(this.#keeping.get(run))
    this.#keeping.delete(run)
    const { id: own } = run.message as AnyStart
    this.#runs.delete(own)
    this.#ended.add(own)
    for (const id of this.#ended) {
      if (this.#ended.size <= MOST_ENDED) break
      this.#ended.delete(id)
    }
  }

  async #fetch(run: Run, message: FetchMessage): Promise<void> {
    const { type: _type, ...fetch } = message
    if (this.#fetches >= MOST_FETCHES) {
      const detail = `expected at most ${MOST_FETCHES} fetches at once on one connection, got one more`
      this.#complain(new Problem('TOO_MANY', detail), { fetch })
      return
    }
    this.#fetches++
    this.#keeping.get(run)?.refresh()
    try {
      await run.fetch(message)
    } catch (error) {
      // the run is as it was: the error says which fetch failed, and has no id
      this.#complain(error, { fetch })
    } finally {
      this.#fetches--
      this.#leaveWhenIdle()
    }
  }

  /** What is on its way is too much or too slow: nothing more is read. */
  #stop(problem: Problem): void {
    const { metrics, requestId } = this.#context
    metrics.problem(problem.code)
    if (this.#queue.betweenMessages && this.#socket.readyState === this.#socket.OPEN)
      this.#socket.send(JSON.stringify({ type: 'error', problem: problem.toJSON(requestId) }))
    const [code, reason] = problem.code === 'BUSY' ? [1013, 'try again later'] : [1008, 'too slow']
    closeForGood(this.#socket, code, reason)
    this.#socket.pause()
  }

  #leaveWhenIdle(): void {
    if (!this.#goingAway || this.#runs.size > 0 || this.#fetches > 0) return
    void this.#queue.flushed.then(() => this.#socket.close(1001, 'going away'))
  }

  #complain(error: unknown, about: { id?: string; fetch?: object } = {}): void {
    if (this.#closed.signal.aborted) return
    const { log, metrics, requestId } = this.#context
    const problem = problemOf(error)
    if (problem.code === 'INTERNAL') log.error({ err: error }, 'internal error')
    metrics.problem(problem.code)
    this.#send({ type: 'error', ...about, problem: problem.toJSON(requestId) })
  }

  #send(message: object | (() => object)): void {
    this.#queue.text(message).catch(() => {})
  }
}
