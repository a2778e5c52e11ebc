/** The connection that runs go over: a new one where the old one is gone, and one to another server where this one shuts down. */
import { mayPass, type Problem } from '../page/problem.ts'
import { Connection, type Frame } from '../stream/connection.ts'
import { type Resume, Resumption } from './resumption.ts'

export interface LineHandlers {
  /** of the run that is under way; undefined where there is none to go on with */
  running(): string | undefined
  onFrame(frame: Frame): void
  onRefused(problem: Problem): void
  /** `heard`: a frame had come over the connection */
  onLost(heard: boolean): void
  /** there is another connection, over which the run goes on */
  onMoved(from: Resume): void
}

export class Line {
  readonly #handlers: LineHandlers
  readonly #resumption = new Resumption()
  #connection: Connection | undefined
  /** a frame has come over the connection */
  #heard = false
  /** the server has said that it takes no new run over the connection */
  #goingAway = false

  constructor(handlers: LineHandlers) {
    this.#handlers = handlers
  }

  /** For a new run. */
  prepare(): void {
    this.#resumption.end()
    if (!this.isOpen || this.#goingAway) this.#connect()
  }

  get isOpen(): boolean {
    return this.#connection !== undefined && !this.#connection.closed
  }

  /** There is none, and another server may still be looked for. */
  get isMissing(): boolean {
    return this.#connection === undefined
  }

  send(message: { type: string; [field: string]: unknown }): void {
    this.#connection?.send(message)
  }

  /** Nothing is said of it then. */
  close(): void {
    this.#resumption.end()
    this.#disconnect()
  }

  #disconnect(): void {
    this.#connection?.close()
    this.#connection = undefined
  }

  #connect(): void {
    const connection: Connection = new Connection({
      onFrame: frame => {
        if (this.#connection === connection) this.#receive(frame)
      },
      onRefused: problem => {
        if (this.#connection === connection && !(mayPass(problem) && this.#move()))
          this.#handlers.onRefused(problem)
      },
      onClose: () => {
        if (this.#connection !== connection || this.#move()) return
        this.#connection = undefined
        this.#handlers.onLost(this.#heard)
      },
    })
    this.#connection = connection
    this.#heard = false
    this.#goingAway = false
  }

  #receive(frame: Frame): void {
    this.#heard = true
    if (frame.type !== 'going_away') {
      this.#resumption.end()
      this.#handlers.onFrame(frame)
      return
    }
    this.#goingAway = true
    const id = this.#handlers.running()
    if (id !== undefined && this.#resumption.begin(frame.resume, id)) this.#move()
  }

  #move(): boolean {
    if (this.#handlers.running() === undefined) return false
    const begun = this.#resumption.again(from => {
      this.#connect()
      this.#handlers.onMoved(from)
    })
    if (begun) this.#disconnect()
    return begun
  }
}
