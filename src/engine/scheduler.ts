/**
 * Fair scheduling of programs over the workers.
 *
 * A worker that is free goes to the job, among those that have something to do, that has had the least of the workers'
 * time. It stays at that job's leg, claiming work beside the others who are at it, until nothing is left, or until it is
 * called away, because someone waits who has had less: it then leaves within about a millisecond. Small jobs are one task
 * each. A job starts at the current virtual time, so a small one waits for no large one to end.
 */
import type { Message, Reply, ScanMessage } from '../../workers/main.ts'
import { type Spans, type TaskResult, TICKET } from '../../workers/program.ts'
import { Problem } from '../problem.ts'
import type { Program } from '../program.ts'
import { type Ground, Job, type JobReport, type Part, type Placement, type Watch } from './job.ts'
import { type Errand, isLarge, Queue, type Runnable, virtual } from './run-queue.ts'
import { Ticket } from './task-state.ts'
import type { Stock } from './word-pool.ts'

/** Small jobs that are waiting cross together: a crossing costs more than their arithmetic. */
export const BATCH = 8
const BATCH_SECONDS = 0.001
/** Behind a batch of small jobs another may wait at the worker itself (which hides the crossing), so many seconds a worker. */
const AHEAD_SECONDS = 0.001
/** Batches at one worker: the one that runs, and one behind it. */
export const MOST_AT_SEAT = 2
/** Workers hurry when a small job has come within so many milliseconds. */
const HURRY_MS = 200
/** While someone waits, it is looked so often whether a worker has now been elsewhere for long enough. */
const LOOK_MS = 2

interface Chosen {
  job: Job
  part: Part
  ticket: Ticket
}

/** What is on its way to a worker, or at it. */
interface Crossing {
  seat: number
  /** a place at a large job's leg; else small jobs, or an errand */
  crew: boolean
  tasks: Chosen[]
  errand?: Errand
  seconds: number
}

/** The workers, from here. */
export interface Seats {
  readonly count: number
  bell(seat: number): number
  /** Rejects when the worker is lost. A quiet message is noticed when somebody rings the seat's bell. */
  post(seat: number, message: Message, quiet: boolean): Promise<Reply>
}

export interface SchedulerEvents {
  /** a worker threw, trapped or died; `reason` is for the log only */
  lost(reason: string): void
}

export class Scheduler {
  readonly #seats: Seats
  readonly #ground: Ground
  readonly #tickets: Stock
  readonly #events: SchedulerEvents
  readonly #queue = new Queue()
  /** what is at each seat, the oldest first */
  readonly #atSeat: Crossing[][]
  /** until when workers are to look up often */
  #hurryUntil = Number.NEGATIVE_INFINITY
  readonly #hurry: Int32Array
  #look: NodeJS.Timeout | undefined

  constructor(seats: Seats, ground: Ground, tickets: Stock, events: SchedulerEvents) {
    this.#seats = seats
    this.#ground = ground
    this.#tickets = tickets
    this.#events = events
    this.#atSeat = Array.from({ length: seats.count }, () => [])
    this.#hurry = new Int32Array(ground.memory.buffer, ground.hurry, 1)
  }

  /** Estimated time until everything accepted so far has run, with all workers at it. */
  get backlogSeconds(): number {
    return this.#queue.seconds / this.#seats.count
  }

  get jobs(): number {
    return this.#queue.size
  }

  /**
   * Runs a program to its end. Resolves with a report (that may hold a fault of the client's data); rejects with the
   * signal's reason, or with WORKER_LOST. It settles only when no task of the program is in flight any more, so that its
   * memory may be freed then. `watch` is told when a mark has been reached, and may hold the job there.
   */
  submit(program: Program, placement: Placement, signal: AbortSignal, watch?: Watch): Promise<JobReport> {
    const { promise, resolve, reject } = Promise.withResolvers<JobReport>()
    if (signal.aborted) {
      reject(signal.reason)
      return promise
    }
    let failure: Error | undefined
    const settle = (error?: Error) => {
      failure ??= error
      if (failure !== undefined || job.report.fault !== undefined) job.stop()
      if (!job.finished || !this.#queue.remove(job)) return
      signal.removeEventListener('abort', stop)
      if (failure === undefined) resolve(job.report)
      else reject(failure)
    }
    const resumed = () => {
      this.#queue.resume(job)
      queueMicrotask(() => this.#dispatch())
    }
    const job = new Job(program, placement, this.#ground, { settle, resumed, watch })
    const stop = () => job.settle(signal.reason)
    signal.addEventListener('abort', stop)
    this.#add(job)
    job.begin()
    if (job.finished) job.settle()
    this.#dispatch()
    return promise
  }

  /** Has any worker answer a message; rejects when the worker is lost. */
  errand(message: ScanMessage, seconds: number): Promise<Reply> {
    const errand: Errand = { start: 0, seconds, message, reply: Promise.withResolvers<Reply>() }
    this.#add(errand)
    this.#dispatch()
    return errand.reply.promise
  }

  #add(runnable: Runnable): void {
    this.#queue.add(runnable)
    if (!isLarge(runnable)) this.#hurryUntil = performance.now() + HURRY_MS
  }

  #dispatch(): void {
    Atomics.store(this.#hurry, 0, performance.now() < this.#hurryUntil ? 1 : 0)
    const crossings: Crossing[] = []
    for (let seat = this.#freeSeat(); seat !== undefined; seat = this.#freeSeat()) {
      const crossing = this.#choose(seat)
      if (crossing === undefined) break
      this.#atSeat[seat].push(crossing)
      crossings.push(crossing)
    }
    // Of a crew, the first worker is woken here, and wakes others, who wake others: this thread, while it runs, occupies a
    // core, and those that it wakes may find themselves on one core together. What others ring for must be there before.
    for (const crossing of crossings) if (!crossing.crew) void this.#cross(crossing)
    const crews = crossings.filter(({ crew }) => crew)
    for (let at = crews.length - 1; at >= 0; at--) {
      const children = crews.slice(2 * at + 1, 2 * at + 3)
      void this.#cross(
        crews[at],
        children.map(({ seat }) => this.#seats.bell(seat)),
        at > 0,
      )
    }
    this.#callAway()
  }

  /** A seat with nothing at it, or else one with so few small jobs that others may wait behind them. */
  #freeSeat(): number | undefined {
    const free = this.#atSeat.findIndex(crossings => crossings.length === 0)
    if (free >= 0) return free
    const short = this.#atSeat.findIndex(
      crossings => crossings.length < MOST_AT_SEAT && secondsOf(crossings) < AHEAD_SECONDS,
    )
    return short >= 0 ? short : undefined
  }

  /** Whoever has had the least, and what crosses for them. */
  #choose(seat: number): Crossing | undefined {
    const first = this.#queue.first()
    if (first === undefined) return undefined
    if (isLarge(first)) {
      if (this.#atSeat[seat].length > 0) return undefined
      const seconds = Number.POSITIVE_INFINITY
      return { seat, crew: true, tasks: [this.#take(first)], seconds }
    }
    if (!(first instanceof Job)) {
      this.#queue.serve(first)
      this.#queue.remove(first)
      return { seat, crew: false, errand: first, tasks: [], seconds: first.seconds }
    }
    const tasks = [this.#take(first)]
    let { seconds } = first
    while (tasks.length < BATCH && seconds < BATCH_SECONDS) {
      const job = this.#queue.firstSmall()
      if (!(job instanceof Job)) break
      tasks.push(this.#take(job))
      seconds += job.seconds
    }
    return { seat, crew: false, tasks, seconds }
  }

  #take(job: Job): Chosen {
    this.#queue.serve(job)
    return { job, part: job.take(), ticket: new Ticket(this.#ground.memory, this.#tickets.take()) }
  }

  /**
   * Where someone waits who has had less than those who are served, has a worker leave those who have had the most; where
   * they have not had enough more yet, looks again soon.
   */
  #callAway(): void {
    clearTimeout(this.#look)
    const now = performance.now()
    const waiting = this.#queue.waiting(now)
    if (waiting.length === 0) return
    const jobs = this.#queue.served()
    const coming = jobs.reduce((sum, { called }) => sum + called, 0)
    for (const least of waiting.slice(coming)) {
      let most: Job | undefined
      for (const job of jobs) {
        if (job.staying > 0 && (most === undefined || virtual(job, now) > virtual(most, now))) most = job
      }
      if (most === undefined) return
      if (virtual(most, now) < least) {
        this.#look = setTimeout(() => this.#callAway(), LOOK_MS)
        return
      }
      most.callAway()
    }
  }

  async #cross(crossing: Crossing, bells: number[] = [], quiet = false): Promise<void> {
    const { seat, errand, tasks } = crossing
    try {
      const texts = tasks.map(({ part, ticket }) =>
        part.leg.text({ scratch: part.scratch, rest: part.rest, ticket: ticket.offset, ring: bells }),
      )
      const reply = await this.#seats.post(seat, errand?.message ?? `[${texts}]`, quiet)
      errand?.reply.resolve(reply)
      for (const [index, { job, part }] of tasks.entries())
        this.#answered(job, part, (reply as TaskResult[])[index])
    } catch (error) {
      errand?.reply.reject(error)
      for (const task of tasks) this.#lost(task, error)
    } finally {
      for (const { ticket } of tasks) this.#tickets.giveBack(ticket.offset)
      this.#atSeat[seat] = this.#atSeat[seat].filter(other => other !== crossing)
      this.#dispatch()
    }
  }

  #answered(job: Job, part: Part, result: TaskResult): void {
    const report = job.report
    for (const phase of ['decode', 'compute', 'encode'] as const)
      extend(report.spans, phase, result.spans[phase])
    const first = Object.values(result.spans)[0]?.[0]
    if (report.queueMs === 0 && first !== undefined) report.queueMs = Math.max(0, first - job.submitted)
    let error: Error | undefined
    if (result.ok) this.#ground.speed.learn(result.speed)
    // before it leaves: nothing is complete at a mark when a task on the way there has failed
    else job.stop()
    if (!result.ok && 'crash' in result) {
      this.#events.lost(result.crash)
      error = lost()
    } else if (!result.ok) report.fault ??= { fault: result.fault, step: part.leg.stages.flat()[result.step] }
    job.leave(part, result.ok ? result.rest : undefined)
    job.settle(error)
  }

  /** The task's worker is gone. Only what was running then is lost with it. */
  #lost({ job, part, ticket }: Chosen, error: unknown): void {
    const { state } = ticket
    if (state === TICKET.done) job.leave(part)
    else if (state === TICKET.waiting) job.leave(part, part.rest)
    else if (state === TICKET.refused && job.small && !job.stopped) {
      part.leg.again()
      job.leave(part)
    } else {
      job.stop()
      job.leave(part)
      this.#events.lost(error instanceof Error ? error.message : String(error))
      job.settle(lost())
      return
    }
    job.settle()
  }
}

function lost(): Problem {
  return new Problem('WORKER_LOST', 'the computation was lost; it may be sent again')
}

function secondsOf(crossings: Crossing[]): number {
  return crossings.reduce((sum, { seconds }) => sum + seconds, 0)
}

function extend(spans: Spans, phase: keyof Spans, span: [number, number] | undefined): void {
  if (span === undefined) return
  const known = spans[phase]
  spans[phase] = known === undefined ? span : [Math.min(known[0], span[0]), Math.max(known[1], span[1])]
}
