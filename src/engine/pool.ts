/**
 * The workers, each at its slot, with the messages to them and back. When a worker has died, another takes its slot: at
 * once, unless it died while it was loading, for then the next one probably will too.
 */
import { MessageChannel, type MessagePort, receiveMessageOnPort } from 'node:worker_threads'
import { Piscina } from 'piscina'
import { wake } from '../../workers/claim-table.ts'
import type { Slot } from '../../workers/contract.ts'
import type { FromWorker, Message, Reply, WorkerData } from '../../workers/main.ts'
import type { TaskState } from './arena.ts'
import type { Assignment, Job } from './job.ts'
import type { ScanTask } from './run-queue.ts'
import type { Slots } from './slots.ts'
import { THREAD_OPTIONS } from './thread-options.ts'

/** The delay before the next worker of a slot; it doubles with every one that dies while loading. */
const FIRST_DELAY_MS = 50
const MAX_DELAY_MS = 5_000

export interface PoolEvents {
  /** a worker died while it was loading, or of an error that nothing caught; `reason` is for the log only */
  lost(reason: string): void
  /** a slot takes messages again */
  available(): void
}

interface Place {
  readonly wakeWord: number
  /** how the slot's worker is reached, while there is one */
  port: MessagePort | undefined
  piscina: Piscina | undefined
  loaded: boolean
  /** workers in a row that died while they were loading */
  failures: number
  retry: NodeJS.Timeout | undefined
  /** why the worker is being ended, where it is */
  ending: Error | undefined
  /** who waits for the replies, in the order of the messages */
  readonly waiting: PromiseWithResolvers<Reply>[]
}

export class Pool implements Slots {
  readonly #file: URL
  readonly #workerData: WorkerData
  readonly #places: Place[]
  readonly #events: PoolEvents
  #closed = false

  /** A worker for each wake word. */
  constructor(file: URL, workerData: WorkerData, wakeWords: number[], events: PoolEvents) {
    this.#file = file
    this.#workerData = workerData
    this.#events = events
    this.#places = wakeWords.map(wakeWord => ({
      wakeWord,
      port: undefined,
      piscina: undefined,
      loaded: false,
      failures: 0,
      retry: undefined,
      ending: undefined,
      waiting: [],
    }))
    for (const place of this.#places) this.#spawn(place)
  }

  get count(): number {
    return this.#places.length
  }

  /** Whether a worker is up, or is loading where none has failed to. */
  get ready(): boolean {
    return this.#places.some(({ loaded, failures }) => loaded || failures === 0)
  }

  /** Whether the slot takes messages: its worker is there, or is loading. */
  available(slot: number): boolean {
    return this.#places[slot].port !== undefined
  }

  /** Whether the slot's worker has come to its loop. */
  loaded(slot: number): boolean {
    return this.#places[slot].loaded
  }

  /** Ends the slot's worker, which does not do so by itself; another takes its place when its thread is gone. */
  replace(slot: number, reason: string): void {
    const place = this.#places[slot]
    if (!place.loaded || place.ending !== undefined) return
    place.ending = new Error(reason)
    // not piscina's destroy: that says the task has failed before the thread has stopped writing
    for (const thread of place.piscina?.threads ?? []) void thread.terminate()
  }

  /** The word in shared memory at which a slot's worker waits. */
  wakeWord(slot: number): number {
    return this.#places[slot].wakeWord
  }

  /** Rejects when the worker is lost. Unless it is `quiet`, the worker is woken; otherwise that is for another to do. */
  post(slot: number, message: Message, quiet = false): Promise<Reply> {
    const { port, wakeWord, waiting } = this.#places[slot]
    const reply = Promise.withResolvers<Reply>()
    if (port === undefined) {
      reply.reject(new Error('no worker is at this slot'))
      return reply.promise
    }
    waiting.push(reply)
    port.postMessage(message)
    if (!quiet) wake(this.#workerData.memory, wakeWord)
    return reply.promise
  }

  /** Takes what workers have answered, before the event loop comes to it. */
  poll(): void {
    for (const place of this.#places) {
      while (place.port !== undefined && place.waiting.length > 0) {
        const received = receiveMessageOnPort(place.port)
        if (received === undefined) break
        this.#receive(place, received.message)
      }
    }
  }

  async close(): Promise<void> {
    this.#closed = true
    for (const { retry } of this.#places) clearTimeout(retry)
    await Promise.all(this.#places.map(({ piscina }) => piscina?.destroy()))
  }

  /** A piscina of one thread, which runs one long piscina task: the loop in `workers/main.ts`. */
  #spawn(place: Place): void {
    const piscina = new Piscina({
      filename: this.#file.href,
      minThreads: 1,
      maxThreads: 1,
      concurrentTasksPerWorker: 1,
      recordTiming: false,
      workerData: this.#workerData,
      ...THREAD_OPTIONS,
    })
    piscina.on('error', error => this.#events.lost(String(error)))
    // by itself piscina would start another worker at once, again and again where none can load
    piscina.on('workerDestroy', () => void piscina.destroy())
    const { port1, port2 } = new MessageChannel()
    port1.on('message', (message: FromWorker) => this.#receive(place, message))
    place.port = port1
    place.piscina = piscina
    place.loaded = false
    place.ending = undefined
    // piscina's types take the browser's MessagePort for what is transferred
    const slot: Slot = { port: port2, wakeWord: place.wakeWord }
    piscina.run(slot, { transferList: [port2] as never }).then(
      () => this.#onExit(place, new Error('the worker has left its slot')),
      (error: unknown) => this.#onExit(place, error),
    )
  }

  #receive(place: Place, message: FromWorker): void {
    if (message === 'loaded') this.#onLoaded(place)
    else place.waiting.shift()?.resolve(message)
  }

  #onLoaded(place: Place): void {
    place.loaded = true
    place.failures = 0
  }

  /** The worker is gone. Others may have been waiting for it to wake them. */
  #onExit(place: Place, error: unknown): void {
    const { ending } = place
    place.port?.close()
    place.port = undefined
    place.piscina = undefined
    if (place.loaded && !this.#closed) this.#spawn(place)
    else if (!this.#closed) this.#retryLater(place, error)
    for (const { reject } of place.waiting.splice(0)) reject(ending ?? error)
    for (const { wakeWord } of this.#places) wake(this.#workerData.memory, wakeWord)
  }

  #retryLater(place: Place, error: unknown): void {
    const delay = Math.min(FIRST_DELAY_MS * 2 ** place.failures, MAX_DELAY_MS)
    place.failures++
    this.#events.lost(`a worker died while it was loading, the next one starts in ${delay} ms: ${error}`)
    place.retry = setTimeout(() => {
      this.#spawn(place)
      this.#events.available()
    }, delay)
  }
}

/** Dispatches at one slot: the one that runs, and one behind it. */
export const MAX_PER_SLOT = 2
/** Behind small jobs that take less than this, others may wait at the worker itself, which hides the way there. */
const AHEAD_SECONDS = 0.001

/** A job's task of one worker. */
export interface Assigned {
  job: Job
  assignment: Assignment
  state: TaskState
}

/** One message to a worker and its answer. */
export interface Dispatch {
  slot: number
  /** a task at a large job's segment; else small jobs, or a scan task */
  team: boolean
  tasks: Assigned[]
  scanTask?: ScanTask
  seconds: number
}

/** What is on its way to the workers, or at them. */
export class InFlight {
  /** of each slot, the oldest first */
  readonly #atSlot: Dispatch[][]

  constructor(slots: number) {
    this.#atSlot = Array.from({ length: slots }, () => [])
  }

  add(dispatch: Dispatch): void {
    this.#atSlot[dispatch.slot].push(dispatch)
  }

  remove(dispatch: Dispatch): void {
    const { slot } = dispatch
    this.#atSlot[slot] = this.#atSlot[slot].filter(other => other !== dispatch)
  }

  idle(slot: number): boolean {
    return this.#atSlot[slot].length === 0
  }

  /** What the slot's worker is at, if it is at anything. */
  oldest(slot: number): Dispatch | undefined {
    return this.#atSlot[slot][0]
  }

  /**
   * An idle slot, or else one where others may wait behind what is there: short small jobs, or a large one that its worker has been
   * asked to leave. So that worker does not wait for this thread, which may be long at something else.
   */
  freeSlot(available: (slot: number) => boolean): number | undefined {
    const idle = this.#atSlot.findIndex((dispatches, slot) => dispatches.length === 0 && available(slot))
    if (idle >= 0) return idle
    const brief = this.#atSlot.findIndex(
      (dispatches, slot) =>
        dispatches.length < MAX_PER_SLOT &&
        (secondsOf(dispatches) < AHEAD_SECONDS || isLeft(dispatches)) &&
        available(slot),
    )
    return brief >= 0 ? brief : undefined
  }
}

/** Whether all workers at its job have been asked to leave it: then this one has. */
function isLeft([{ team, tasks }]: Dispatch[]): boolean {
  return team && tasks[0].job.unpreempted === 0
}

function secondsOf(dispatches: Dispatch[]): number {
  return dispatches.reduce((sum, { seconds }) => sum + seconds, 0)
}
