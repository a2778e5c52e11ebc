/**
 * The workers, each at its seat, with what crosses to them and back. Piscina starts them, starts others in the place of
 * those that die, and ends them; in between each runs one long piscina task, the loop in `workers/main.ts`.
 */
import { MessageChannel, type MessagePort } from 'node:worker_threads'
import { Piscina } from 'piscina'
import type { Message, Reply, WorkerData } from '../../workers/main.ts'
import { ring, type Seat } from '../../workers/program.ts'

interface Place {
  port: MessagePort
  readonly bell: number
  /** who waits for the replies, in the order of the messages */
  readonly waiting: PromiseWithResolvers<Reply>[]
}

export class Workers {
  readonly #pool: Piscina
  readonly #memory: WebAssembly.Memory
  readonly #places: Place[]
  #closed = false

  /** A worker for each bell. `lost` is told of errors that nobody caught. */
  constructor(file: URL, workerData: WorkerData, bells: number[], lost: (reason: string) => void) {
    this.#memory = workerData.memory
    this.#pool = new Piscina({
      filename: file.href,
      minThreads: bells.length,
      maxThreads: bells.length,
      concurrentTasksPerWorker: 1,
      recordTiming: false,
      workerData,
    })
    this.#pool.on('error', error => lost(String(error)))
    this.#places = bells.map(bell => ({ bell, waiting: [], port: new MessageChannel().port1 }))
    for (const place of this.#places) this.#occupy(place)
  }

  get count(): number {
    return this.#places.length
  }

  /** The place in shared memory at which a worker waits. */
  bell(seat: number): number {
    return this.#places[seat].bell
  }

  /** Rejects when the worker is lost. Unless it is `quiet`, the worker is woken; otherwise that is for another to do. */
  post(seat: number, message: Message, quiet = false): Promise<Reply> {
    const { port, bell, waiting } = this.#places[seat]
    const reply = Promise.withResolvers<Reply>()
    waiting.push(reply)
    port.postMessage(message)
    if (!quiet) ring(this.#memory, bell)
    return reply.promise
  }

  async close(): Promise<void> {
    this.#closed = true
    await this.#pool.destroy()
    for (const { port } of this.#places) port.close()
  }

  #occupy(place: Place): void {
    const { port1, port2 } = new MessageChannel()
    place.port = port1
    port1.on('message', (reply: Reply) => place.waiting.shift()?.resolve(reply))
    // piscina's types take the browser's MessagePort for what is transferred
    const seat: Seat = { port: port2, bell: place.bell }
    this.#pool.run(seat, { transferList: [port2] as never }).then(
      () => this.#vacated(place, port1, new Error('the worker has left its seat')),
      (error: unknown) => this.#vacated(place, port1, error),
    )
  }

  /** The worker is gone. Others may have been waiting for it to wake them. */
  #vacated(place: Place, port: MessagePort, error: unknown): void {
    port.close()
    if (!this.#closed) this.#occupy(place)
    for (const { reject } of place.waiting.splice(0)) reject(error)
    for (const { bell } of this.#places) ring(this.#memory, bell)
  }
}
