/**
 * The workers, each at its slot, with the messages to them and back. Piscina starts them, starts others in the place of
 * those that die, and ends them; in between each runs one long piscina task, the loop in `workers/main.ts`.
 */
import { MessageChannel, type MessagePort } from 'node:worker_threads'
import { Piscina } from 'piscina'
import { type Slot, wake } from '../../workers/contract.ts'
import type { Message, Reply, WorkerData } from '../../workers/main.ts'

interface Place {
  port: MessagePort
  readonly wakeWord: number
  /** who waits for the replies, in the order of the messages */
  readonly waiting: PromiseWithResolvers<Reply>[]
}

export class Pool {
  readonly #piscina: Piscina
  readonly #memory: WebAssembly.Memory
  readonly #places: Place[]
  #closed = false

  /** A worker for each wake word. `lost` is told of errors that nothing caught. */
  constructor(file: URL, workerData: WorkerData, wakeWords: number[], lost: (reason: string) => void) {
    this.#memory = workerData.memory
    this.#piscina = new Piscina({
      filename: file.href,
      minThreads: wakeWords.length,
      maxThreads: wakeWords.length,
      concurrentTasksPerWorker: 1,
      recordTiming: false,
      workerData,
    })
    this.#piscina.on('error', error => lost(String(error)))
    this.#places = wakeWords.map(wakeWord => ({ wakeWord, waiting: [], port: new MessageChannel().port1 }))
    for (const place of this.#places) this.#spawn(place)
  }

  get count(): number {
    return this.#places.length
  }

  /** The word in shared memory at which a slot's worker waits. */
  wakeWord(slot: number): number {
    return this.#places[slot].wakeWord
  }

  /** Rejects when the worker is lost. Unless it is `quiet`, the worker is woken; otherwise that is for another to do. */
  post(slot: number, message: Message, quiet = false): Promise<Reply> {
    const { port, wakeWord, waiting } = this.#places[slot]
    const reply = Promise.withResolvers<Reply>()
    waiting.push(reply)
    port.postMessage(message)
    if (!quiet) wake(this.#memory, wakeWord)
    return reply.promise
  }

  async close(): Promise<void> {
    this.#closed = true
    await this.#piscina.destroy()
    for (const { port } of this.#places) port.close()
  }

  #spawn(place: Place): void {
    const { port1, port2 } = new MessageChannel()
    place.port = port1
    port1.on('message', (reply: Reply) => place.waiting.shift()?.resolve(reply))
    // piscina's types take the browser's MessagePort for what is transferred
    const slot: Slot = { port: port2, wakeWord: place.wakeWord }
    this.#piscina.run(slot, { transferList: [port2] as never }).then(
      () => this.#onExit(place, port1, new Error('the worker has left its slot')),
      (error: unknown) => this.#onExit(place, port1, error),
    )
  }

  /** The worker is gone. Others may have been waiting for it to wake them. */
  #onExit(place: Place, port: MessagePort, error: unknown): void {
    port.close()
    if (!this.#closed) this.#spawn(place)
    for (const { reject } of place.waiting.splice(0)) reject(error)
    for (const { wakeWord } of this.#places) wake(this.#memory, wakeWord)
  }
}
