/**
 * Messages that come over one WebSocket. While one is on its way the protocol library keeps it in this process, and when it is
 * whole it may have to wait: it is counted like a body until it has been handled, and timed like one until it is whole.
 */
import type { Socket } from 'node:net'
import type { Arrival } from '../../pipeline/arrivals.ts'
import { ArrivalClock, type Intake, SMALL } from '../../pipeline/decode.ts'
import type { Problem } from '../../problem.ts'
import { FrameReader } from './frame-reader.ts'

export class IncomingMessages {
  readonly #client: string
  readonly #intake: Intake
  readonly #giveUp: (problem: Problem) => void
  readonly #frames = new FrameReader()
  #message = 0
  #clock: ArrivalClock | undefined
  #arrival: Arrival | undefined
  #paused = false
  #over = false

  /** `giveUp` is called where the connection is to be cut off. */
  constructor(socket: Socket, client: string, intake: Intake, giveUp: (problem: Problem) => void) {
    this.#client = client
    this.#intake = intake
    this.#giveUp = problem => {
      if (this.#over) return
      this.#over = true
      this.#end()
      giveUp(problem)
    }
    // before the library: when it hands a message over, that is no longer on its way here
    socket.prependListener('data', (chunk: Buffer) => {
      if (!this.#over) this.#count(chunk)
    })
    socket.once('close', () => {
      this.#over = true
      this.#end()
    })
  }

  /** Nothing is read from the connection: the time is not its client's. */
  pause(): void {
    this.#paused = true
    this.#clock?.pause()
  }

  resume(): void {
    this.#paused = false
    this.#clock?.resume()
  }

  /** A message is whole; a large one is counted until it is disposed of. */
  whole({ length }: Buffer): Arrival | undefined {
    if (length <= SMALL || this.#over) return undefined
    const arrival = this.#intake.arrivals.begin(this.#client, this.#giveUp)
    this.#resize(arrival, length)
    return arrival
  }

  #count(chunk: Buffer): void {
    const frames = this.#frames
    frames.read(chunk)
    if (frames.message !== this.#message) this.#end()
    this.#message = frames.message
    const { bytes } = frames
    if (bytes === 0) return
    const { arrivals, bodySeconds } = this.#intake
    this.#clock ??= new ArrivalClock(bodySeconds, this.#giveUp)
    this.#clock.bytes = bytes
    if (this.#paused) this.#clock.pause()
    if (bytes <= SMALL) return
    this.#arrival ??= arrivals.begin(this.#client, this.#giveUp)
    this.#resize(this.#arrival, bytes)
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
