/**
 * Messages that come over one WebSocket. While one is on its way the protocol library keeps it in this process, and when it is
 * whole it may have to wait: it is counted like a body until it has been handled, and timed like one until it is whole.
 */
import type { Socket } from 'node:net'
import type { WebSocket } from 'ws'
import type { Arrival } from '../../pipeline/arrivals.ts'
import { ArrivalClock, type Intake, SMALL } from '../../pipeline/decode.ts'
import type { Problem } from '../../problem.ts'
import { FrameReader } from './frame-reader.ts'
import { TURN } from './turn-bytes.ts'

export class IncomingMessages {
  readonly #socket: WebSocket
  readonly #client: string
  readonly #intake: Intake
  readonly #giveUp: (problem: Problem) => void
  readonly #frames: FrameReader
  #message = 0
  #clock: ArrivalClock | undefined
  #arrival: Arrival | undefined
  #paused = false
  /** reasons for which nothing is read */
  #holds = 0
  #over = false

  /** `giveUp` is called where the connection is to be cut off. */
  constructor(
    socket: WebSocket,
    raw: Socket,
    client: string,
    intake: Intake,
    giveUp: (problem: Problem) => void,
  ) {
    this.#socket = socket
    this.#client = client
    this.#intake = intake
    this.#giveUp = problem => {
      if (this.#over) return
      this.#over = true
      this.#end()
      giveUp(problem)
    }
    socket.binaryType = 'fragments'
    // ours stands in for the library's: `listener` lets it find and remove its own
    const [listener] = raw.listeners('data') as ((this: Socket, chunk: Buffer) => void)[]
    this.#frames = new FrameReader(intake.mostBytes, bytes => {
      if (raw.listenerCount('data') > 0) listener.call(raw, bytes)
    })
    raw.removeListener('data', listener)
    raw.on(
      'data',
      Object.assign((chunk: Buffer) => this.#take(chunk), { listener }),
    )
    raw.once('close', () => {
      this.#over = true
      this.#end()
    })
  }

  /** Whether the message that the library hands over now is text, though the library knows of none. */
  get text(): boolean {
    return this.#frames.text
  }

  /** Nothing is read from the connection: the time is not its client's. */
  pause(): void {
    this.#paused = true
    this.#clock?.pause()
    this.#hold()
  }

  resume(): void {
    this.#paused = false
    this.#clock?.resume()
    this.#release()
  }

  /** A message of that many bytes is whole; a large one is counted until it is disposed of. */
  whole(length: number): Arrival | undefined {
    this.#endOfMessage()
    if (length <= SMALL || this.#over) return undefined
    const arrival = this.#intake.arrivals.begin(this.#client, this.#giveUp)
    this.#resize(arrival, length)
    return arrival
  }

  #take(chunk: Buffer): void {
    this.#frames.read(chunk)
    if (this.#over) return
    this.#endOfMessage()
    const { bytes } = this.#frames
    if (bytes === 0) return
    const { arrivals, bodySeconds } = this.#intake
    this.#clock ??= new ArrivalClock(bodySeconds, this.#giveUp)
    this.#clock.bytes = bytes
    if (this.#paused) this.#clock.pause()
    if (bytes <= SMALL) return
    this.#arrival ??= arrivals.begin(this.#client, this.#giveUp)
    this.#resize(this.#arrival, bytes)
    const next = TURN.take(chunk.length)
    if (next === undefined) return
    this.#hold()
    void next.then(() => this.#release())
  }

  /** What the library hands over is no longer on its way here. */
  #endOfMessage(): void {
    if (this.#frames.message !== this.#message) this.#end()
    this.#message = this.#frames.message
  }

  #hold(): void {
    this.#holds++
    this.#socket.pause()
  }

  #release(): void {
    this.#holds--
    if (this.#holds === 0 && !this.#over) this.#socket.resume()
  }

  #resize(arrival: Arrival, bytes: number): void {
    try {
      arrival.resize(bytes)
    } catch (problem) {
      this.#giveUp(problem as Problem)
    }
  }

  #end(): void {
    this.#clock?.[Symbol.dispose]()
    this.#clock = undefined
    this.#arrival?.[Symbol.dispose]()
    this.#arrival = undefined
  }
}
