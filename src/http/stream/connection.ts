/** One client: its messages one after the other, its runs side by side, and nothing left of either when it goes. */
import type { Socket } from 'node:net'
import type { FastifyBaseLogger } from 'fastify'
import type { WebSocket } from 'ws'
import type { FetchMessage, StartMessage } from '../../endpoints/stream-messages.ts'
import type { Engine } from '../../engine/engine.ts'
import type { Body } from '../../pipeline/decode.ts'
import { fieldProblem, Problem } from '../../problem.ts'
import { problemOf } from '../plugins/errors.ts'
import type { Arrival, Arrivals } from './inbound-budget.ts'
import type { StreamMetrics } from './metrics.ts'
import { BadMessage, type MessageReader, type Received } from './read-message.ts'
import { Run } from './run.ts'
import type { Limits } from './run-clock.ts'
import { Outbox } from './send-queue.ts'

/** Runs of one connection at once, with those whose maps are kept. */
const MOST_RUNS = 32
const MOST_FETCHES = 32
/** Ids of runs that have ended: their client may not know yet. */
const MOST_ENDED = 256
/** Time for the last message to a client that is cut off. */
const LAST_WORDS_MS = 200

export interface ConnectionContext extends Limits {
  compute: Engine
  reader: MessageReader
  arrivals: Arrivals
  metrics: StreamMetrics
  log: FastifyBaseLogger
  requestId: string
}

export class Connection {
  readonly #socket: WebSocket
  readonly #context: ConnectionContext
  readonly #outbox: Outbox
  readonly #arrival: Arrival
  readonly #closed = new AbortController()
  readonly #runs = new Map<string, Run>()
  readonly #keeping = new Map<Run, NodeJS.Timeout>()
  readonly #ended = new Set<string>()
  readonly #inbox: { bytes: Buffer; binary: boolean }[] = []
  #reading = false
  #fetches = 0
  #goingAway = false
  #alive = true

  constructor(socket: WebSocket, raw: Socket, context: ConnectionContext) {
    this.#socket = socket
    this.#context = context
    this.#outbox = new Outbox(socket, context.idleSeconds)
    explainClosing(socket, this.#outbox, context.requestId)
    this.#arrival = context.arrivals.watch(raw, () => this.#stop())
    socket.on('message', (data, binary) => this.#receive(data as Buffer, binary))
    socket.on('pong', () => {
      this.#alive = true
    })
    socket.on('close', () => {
      this.#closed.abort()
      for (const run of this.#keeping.keys()) this.#forget(run)
    })
  }

  /** No run is taken any more; the connection ends with the last one. */
  goAway(): void {
    this.#goingAway = true
    this.#send({ type: 'going_away' })
    for (const run of this.#keeping.keys()) this.#forget(run)
    this.#leaveWhenIdle()
  }

  /** To be called now and then: a client that answers nothing is gone. */
  checkAlive(): void {
    if (this.#reading || !this.#outbox.idle) return
    if (!this.#alive) this.#socket.terminate()
    this.#alive = false
    if (this.#socket.readyState === this.#socket.OPEN) this.#socket.ping()
  }

  #receive(bytes: Buffer, binary: boolean): void {
    this.#alive = true
    this.#arrival.whole()
    this.#inbox.push({ bytes, binary })
    if (!this.#reading) void this.#read()
  }

  /** While a message is being read, or too many answers wait, nothing more is taken off the wire. */
  async #read(): Promise<void> {
    this.#reading = true
    this.#socket.pause()
    for (let next = this.#inbox.shift(); next !== undefined; next = this.#inbox.shift()) {
      await this.#outbox.room()
      if (this.#closed.signal.aborted) break
      await this.#handle(next.bytes, next.binary)
    }
    this.#reading = false
    this.#socket.resume()
  }

  async #handle(bytes: Buffer, binary: boolean): Promise<void> {
    try {
      this.#take(await this.#context.reader.read(bytes, binary))
    } catch (error) {
      const start = error instanceof BadMessage ? error.start : undefined
      const about = start === undefined || this.#runs.has(start) ? {} : { id: start }
      this.#complain(error instanceof BadMessage ? error.cause : error, about)
    }
  }

  #take({ message, body }: Received): void {
    if (message.type === 'start') {
      this.#start(message, body as Body)
      return
    }
    const run = this.#runs.get(message.id)
    if (run === undefined) {
      if (message.type !== 'fetch' && this.#ended.has(message.id)) return
      throw fieldProblem(
        'INVALID_REQUEST',
        '/id',
        `expected the id of a run, got ${JSON.stringify(message.id)}`,
      )
    }
    if (message.type === 'credit') run.credit(message.add)
    else if (message.type === 'cancel') this.#cancel(run)
    else if (message.type === 'release') this.#release(run)
    else void this.#fetch(run, message)
  }

  #start(message: StartMessage, body: Body): void {
    const { id } = message
    if (this.#runs.has(id)) {
      body.release()
      // without the id: it is not the run of that id that failed
      const got = JSON.stringify(id)
      throw fieldProblem('INVALID_REQUEST', '/id', `expected an id that no run has, got ${got}`)
    }
    try {
      const run = this.#admit(message, body)
      this.#runs.set(id, run)
      this.#ended.delete(id)
      void this.#follow(run)
    } catch (error) {
      body.release()
      this.#context.metrics.run('refused')
      this.#complain(error, { id })
    }
  }

  #admit(message: StartMessage, body: Body): Run {
    if (this.#goingAway) {
      throw new Problem('DRAINING', 'this server is shutting down; start the run on another', {
        retryAfter: 1,
      })
    }
    if (this.#runs.size >= MOST_RUNS) {
      const detail = `expected at most ${MOST_RUNS} runs at once on one connection, got one more`
      throw new Problem('TOO_MANY', detail)
    }
    const { compute, metrics, deadlineSeconds, idleSeconds } = this.#context
    return new Run(message, body, {
      ...{ compute, deadlineSeconds, idleSeconds },
      ...{ outbox: this.#outbox, closed: this.#closed.signal },
      sent: type => metrics.frame(type),
    })
  }

  async #follow(run: Run): Promise<void> {
    const { metrics, log, idleSeconds } = this.#context
    const { id, lease } = run
    const started = performance.now()
    const outcome = await run.execute()
    metrics.run(outcome.kind)
    const { flops, bytes } = lease.estimate
    const { precision } = run
    const ms = Math.round(performance.now() - started)
    const code = outcome.kind === 'failed' ? problemOf(outcome.error).code : undefined
    log.info({ ...{ layers: run.layers, outcome: outcome.kind, ms, precision, flops, bytes }, code }, 'run')
    if (run.kept && !this.#goingAway && !this.#closed.signal.aborted) {
      this.#keeping.set(
        run,
        setTimeout(() => this.#forget(run), idleSeconds * 1000),
      )
    } else this.#forget(run)
    if (outcome.kind === 'cancelled') this.#send({ type: 'cancelled', id })
    if (outcome.kind === 'failed') this.#complain(outcome.error, { id })
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
    this.#runs.delete(run.id)
    this.#ended.add(run.id)
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

  /** Too much is on its way here: nothing more is read. */
  #stop(): void {
    this.#socket.close(1013, 'try again later')
    this.#socket.pause()
    setTimeout(() => this.#socket.terminate(), LAST_WORDS_MS)
  }

  #leaveWhenIdle(): void {
    if (!this.#goingAway || this.#runs.size > 0 || this.#fetches > 0) return
    void this.#outbox.flushed.then(() => this.#socket.close(1001, 'going away'))
  }

  #complain(error: unknown, about: { id?: string; fetch?: object } = {}): void {
    if (this.#closed.signal.aborted) return
    const { log, metrics, requestId } = this.#context
    const problem = problemOf(error)
    if (problem.code === 'INTERNAL') log.error({ err: error }, 'internal error')
    metrics.problem(problem.code)
    this.#send({ type: 'error', ...about, problem: problem.toJSON(requestId) })
  }

  #send(message: object): void {
    this.#outbox.text(message).catch(() => {})
  }
}

/**
 * The protocol library closes a connection at once when a message is malformed or too large: before that, the client is
 * told in the form of every other error.
 */
function explainClosing(socket: WebSocket, outbox: Outbox, requestId: string): void {
  const close = socket.close.bind(socket)
  const faults: Record<number, Problem> = {
    1002: new Problem('BAD_HTTP', 'expected WebSocket frames (RFC 6455), got something else'),
    1007: new Problem('INVALID_JSON', 'expected UTF-8, got something else'),
    1009: new Problem('BODY_TOO_LARGE', 'expected a smaller message'),
    1013: new Problem('BUSY', 'too many messages are arriving', { retryAfter: 1 }),
  }
  socket.close = (code, reason) => {
    const problem = code === undefined ? undefined : faults[code]
    if (problem !== undefined && outbox.betweenMessages && socket.readyState === socket.OPEN) {
      socket.send(JSON.stringify({ type: 'error', problem: problem.toJSON(requestId) }))
    }
    close(code, reason)
  }
}
