/**
 * Fair scheduling of programs over the worker pool.
 *
 * Tasks are handed to the pool only a few at a time, so that what runs next is decided here: among the jobs that have
 * something to run, the one that has had the least of the pool so far. A small job is one task and starts at the current
 * virtual time, so it waits for tasks in flight (each a few milliseconds), never for a long job to end.
 */
import { type Spans, type StepCall, type Task, type TaskResult, TICKET } from '../../workers/program.ts'
import type { BufferPlace, Ref } from '../../workers/task.ts'
import { Problem } from '../errors.ts'
import type { Program } from '../programs/program.ts'
import { Job, type JobReport, type JobTask, type Placement, type Watch } from './job.ts'
import type { Speed } from './speed.ts'
import type { Tickets } from './tickets.ts'

/** Beside what a worker runs, this much more work may wait inside the pool for it (hides the crossing). */
const AHEAD_SECONDS = 0.001
/** … and so much where no small job has come for a while that would have to wait behind it: two parts of a large job. */
const QUIET_AHEAD_SECONDS = 0.006
const QUIET_MS = 100
export const TASKS_PER_WORKER = 2
/** Small jobs that are waiting cross together: a crossing costs more than their arithmetic. */
export const BATCH = 8
const BATCH_SECONDS = 0.001

export type RunTasks = (tasks: Task[]) => Promise<TaskResult[]>

interface Chosen {
  job: Job
  task: JobTask
}

export interface SchedulerEvents {
  /** a worker threw, trapped or died; `reason` is for the log only */
  lost(reason: string): void
}

export class Scheduler {
  readonly #run: RunTasks
  readonly #threads: number
  readonly #speed: Speed
  readonly #tickets: Tickets
  readonly #events: SchedulerEvents
  /** small jobs, first come first served */
  readonly #small: Set<Job> = new Set()
  readonly #large: Set<Job> = new Set()
  /**
   * Virtual time, at which new jobs start: it goes on with everything that is served, shared among the large jobs and the
   * stream of small ones, so that small jobs that keep coming overtake a large one, but not for ever.
   */
  #now = 0
  #inFlight = 0
  /** when the latest small job came */
  #smallCame = Number.NEGATIVE_INFINITY
  #inFlightSeconds = 0
  #waitingSeconds = 0

  constructor(run: RunTasks, threads: number, speed: Speed, tickets: Tickets, events: SchedulerEvents) {
    this.#run = run
    this.#threads = threads
    this.#speed = speed
    this.#tickets = tickets
    this.#events = events
  }

  /** Estimated time until everything accepted so far has run, with all workers at it. */
  get backlogSeconds(): number {
    return Math.max(0, this.#waitingSeconds) / this.#threads
  }

  get jobs(): number {
    return this.#small.size + this.#large.size
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
      job.stopped ||= failure !== undefined || job.report.fault !== undefined
      if (!job.finished) return
      this.#queue(job).delete(job)
      if (!job.held) this.#waitingSeconds -= job.seconds - job.had
      signal.removeEventListener('abort', stop)
      if (failure === undefined) resolve(job.report)
      else reject(failure)
    }
    // what a held job has still to do does not wait for workers, and the time that it was held for is not owed to it
    const held = () => {
      this.#waitingSeconds -= job.seconds - job.had
    }
    const resumed = () => {
      this.#waitingSeconds += job.seconds - job.had
      job.start = Math.max(job.start, this.#now - job.had)
      queueMicrotask(() => this.#dispatch())
    }
    const job = new Job(program, placement, this.#speed, this.#threads, { settle, held, resumed, watch })
    const stop = () => job.settle(signal.reason)
    signal.addEventListener('abort', stop)
    if (job.small) this.#smallCame = performance.now()
    job.start = this.#now
    this.#waitingSeconds += job.seconds
    this.#queue(job).add(job)
    job.begin()
    if (job.finished) job.settle()
    this.#dispatch()
    return promise
  }

  #queue(job: Job): Set<Job> {
    return job.small ? this.#small : this.#large
  }

  #dispatch(): void {
    while (this.#mayDispatch()) {
      const first = this.#choose()
      if (first === undefined) return
      const batch = [first]
      this.#account(first)
      let seconds = first.task.seconds
      while (first.job.small && batch.length < BATCH && seconds < BATCH_SECONDS) {
        const job = firstRunnable(this.#small)
        const task = job?.next()
        if (job === undefined || task === undefined) break
        batch.push({ job, task })
        this.#account({ job, task })
        seconds += task.seconds
      }
      void this.#runBatch(batch, seconds)
    }
  }

  #mayDispatch(): boolean {
    if (this.#inFlight < this.#threads) return true
    return (
      this.#inFlight < this.#threads * TASKS_PER_WORKER &&
      this.#inFlightSeconds < this.#threads * this.#aheadSeconds
    )
  }

  get #aheadSeconds(): number {
    return performance.now() - this.#smallCame < QUIET_MS ? AHEAD_SECONDS : QUIET_AHEAD_SECONDS
  }

  #account({ job, task }: Chosen): void {
    this.#now = Math.max(this.#now, job.start + job.had) + task.seconds / (this.#large.size + 1)
    job.had += task.seconds
    this.#waitingSeconds -= task.seconds
  }

  /** The runnable job with the least virtual time. */
  #choose(): Chosen | undefined {
    const first = firstRunnable(this.#small)
    const candidates: Job[] = first === undefined ? [...this.#large] : [first, ...this.#large]
    candidates.sort((a, b) => a.start + a.had - (b.start + b.had))
    for (const job of candidates) {
      const task = job.next()
      if (task !== undefined) return { job, task }
    }
    return undefined
  }

  async #runBatch(batch: Chosen[], seconds: number): Promise<void> {
    const tickets = batch.map(() => this.#tickets.take())
    this.#inFlight++
    this.#inFlightSeconds += seconds
    try {
      const tasks = batch.map(({ job, task }, index) => ({
        precision: job.program.precision,
        ...callsOf(task, job.placement),
        scratch: task.scratch,
        ticket: tickets[index].offset,
      }))
      const results = await this.#run(tasks)
      for (const [index, { job, task }] of batch.entries()) this.#take(job, task, results[index])
    } catch (error) {
      for (const [index, { job, task }] of batch.entries()) this.#lost(job, task, tickets[index].state, error)
    } finally {
      for (const ticket of tickets) this.#tickets.giveBack(ticket)
      this.#inFlight--
      this.#inFlightSeconds -= seconds
      this.#dispatch()
    }
  }

  #take(job: Job, task: JobTask, result: TaskResult): void {
    const report = job.report
    for (const phase of ['decode', 'compute', 'encode'] as const)
      extend(report.spans, phase, result.spans[phase])
    const first = Object.values(result.spans)[0]?.[0]
    if (report.queueMs === 0 && first !== undefined) report.queueMs = Math.max(0, first - job.submitted)
    let error: Error | undefined
    if (!result.ok && 'crash' in result) {
      this.#events.lost(result.crash)
      error = new Problem('WORKER_LOST', 'the computation was lost; it may be sent again')
    } else if (!result.ok) report.fault ??= { fault: result.fault, step: task.parts[result.step].step }
    else this.#learn(job, task, result.spans)
    // before it is finished: nothing is complete at a mark when a task on the way there has failed
    if (!result.ok) job.stopped = true
    job.finish(task)
    job.settle(error)
  }

  #learn(job: Job, task: JobTask, spans: Spans): void {
    if (spans.compute === undefined) return
    const flops = task.parts.reduce(
      (sum, part) => sum + (part.step.flops * (part.to - part.from)) / part.step.units,
      0,
    )
    this.#speed.learn(job.program.precision, flops, (spans.compute[1] - spans.compute[0]) / 1000)
  }

  /** The pool lost the task's worker. Only what was running then is lost with it. */
  #lost(job: Job, task: JobTask, state: number, error: unknown): void {
    if (state === TICKET.done) {
      job.finish(task)
      job.settle()
      return
    }
    if (state === TICKET.waiting && !job.stopped) {
      job.had -= task.seconds
      this.#waitingSeconds += task.seconds
      job.giveBack(task)
      return
    }
    job.stopped = true
    job.finish(task)
    this.#events.lost(error instanceof Error ? error.message : String(error))
    job.settle(new Problem('WORKER_LOST', 'the computation was lost; it may be sent again'))
  }
}

function firstRunnable(jobs: Set<Job>): Job | undefined {
  for (const job of jobs) if (job.inFlight === 0 && !job.stopped) return job
  return undefined
}

/** A task's steps, and of the program's buffers only those they name: a stack has hundreds. */
function callsOf({ parts }: JobTask, { buffers }: Placement): Pick<Task, 'buffers' | 'steps'> {
  const places: BufferPlace[] = []
  const known = new Map<Ref, Ref>()
  const local = (ref: Ref): Ref => {
    let index = known.get(ref)
    if (index === undefined) {
      index = places.push(buffers[ref]) - 1
      known.set(ref, index)
    }
    return index
  }
  const steps = parts.map(({ step, from, to }) => {
    const { op, args, phase, careful } = step
    const tensors: Record<string, Ref> = {}
    for (const [name, ref] of Object.entries<Ref | undefined>(step.tensors)) {
      if (ref !== undefined) tensors[name] = local(ref)
    }
    const noted = careful === undefined ? undefined : local(careful)
    return { op, args, phase, tensors, careful: noted, from, to } as StepCall
  })
  return { buffers: places, steps }
}

function extend(spans: Spans, phase: keyof Spans, span: [number, number] | undefined): void {
  if (span === undefined) return
  const known = spans[phase]
  spans[phase] = known === undefined ? span : [Math.min(known[0], span[0]), Math.max(known[1], span[1])]
}
