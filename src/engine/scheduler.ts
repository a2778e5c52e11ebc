/**
 * Fair scheduling of programs over the workers.
 *
 * A worker that is free goes to the job, among those that have something to do, that has had the least worker time. It stays at that
 * job's segment, claiming work beside the others of the team, until nothing is left, or until it is preempted, because another job
 * waits that has had less: it then leaves within about a millisecond. Small jobs are one task each; they wait at a worker that has
 * been asked to leave, and the briefest run on this thread. A job starts at the current virtual time, so a small one waits for no
 * large one to end.
 *
 * The way of a job: submit → run queue → dispatch → send → answered → proceed, and again from the run queue until it ends.
 */
import { TASK_STATE, type TaskResult } from '../../workers/contract.ts'
import type { Reply, ScanMessage } from '../../workers/main.ts'
import type { WordPool } from './arena.ts'
import { TaskState } from './arena.ts'
import type { BriefJobs } from './brief-jobs.ts'
import {
  type Assignment,
  type EngineContext,
  Job,
  type JobReport,
  type OnBarrier,
  type OnProgress,
} from './job.ts'
import type { PlacedProgram } from './placement.ts'
import { type Assigned, type Dispatch, InFlight } from './pool.ts'
import { isLarge, type Runnable, RunQueue, type ScanTask, vruntime } from './run-queue.ts'
import type { Slots } from './slots.ts'
import { Watchdog } from './watchdog.ts'

/** Small jobs that are waiting cross together: to cross costs more than their arithmetic. */
export const BATCH = 8
const BATCH_SECONDS = 0.001
/** Estimated time of a job up to which it is run on this thread: to send it would take longer (ADR 0071). */
const BRIEF_SECONDS = 0.00004
/** Workers are in low-latency mode for this time after a small job has come. */
const LOW_LATENCY_MS = 200
/** While a job waits that has had less, the time after which the running ones are compared with it again. */
const REBALANCE_MS = 2

export interface SchedulerOptions {
  /** where the briefest jobs are run; without it they go to the workers, too */
  here?: BriefJobs | undefined
  /** a worker threw, trapped or died; `reason` is for the log only */
  lost(reason: string): void
}

export class Scheduler {
  readonly #slots: Slots
  readonly #context: EngineContext
  readonly #taskStates: WordPool
  readonly #options: SchedulerOptions
  readonly #queue = new RunQueue()
  readonly #inFlight: InFlight
  readonly #watchdog: Watchdog
  #responding = true
  readonly #lowLatency: Int32Array
  #lowLatencyUntil = Number.NEGATIVE_INFINITY
  #rebalanceTimer: NodeJS.Timeout | undefined

  constructor(slots: Slots, context: EngineContext, taskStates: WordPool, options: SchedulerOptions) {
    this.#slots = slots
    this.#context = context
    this.#taskStates = taskStates
    this.#options = options
    this.#inFlight = new InFlight(slots.count)
    this.#watchdog = new Watchdog(slots, this.#inFlight)
    this.#lowLatency = new Int32Array(context.memory.buffer, context.lowLatency, 1)
  }

  /** Whether a worker responds, or is loading where none has failed to. */
  get ready(): boolean {
    return this.#slots.ready && this.#responding
  }

  /** To be called now and then: has workers replaced that have hung. */
  checkWorkers(): void {
    this.#responding = this.#watchdog.check()
  }

  /** Estimated time until everything accepted so far has run, with all workers at it. */
  get backlogSeconds(): number {
    return this.#queue.seconds / this.#slots.count
  }

  get jobs(): number {
    return this.#queue.size
  }

  /** What of the backlog comes before the end of a program that would take so long. */
  secondsBefore(seconds: number): number {
    const { count } = this.#slots
    return this.#queue.secondsBefore(seconds * count) / count
  }

  /**
   * Runs a program to its end. Resolves with a report (that may hold a fault of the client's data); rejects with the signal's reason, or
   * with WORKER_LOST; when no task of the program is in flight any more. `onBarrier` may block the job at a barrier that has been reached.
   */
  async submit(
    placed: PlacedProgram,
    signal: AbortSignal,
    onBarrier?: OnBarrier,
    onProgress?: OnProgress,
  ): Promise<JobReport> {
    signal.throwIfAborted()
    const job = new Job(placed, this.#context, onBarrier, onProgress)
    const here = job.small && job.seconds <= BRIEF_SECONDS ? this.#options.here : undefined
    if (here !== undefined) {
      const answered = (assignment: Assignment, result: TaskResult) =>
        this.#answered({ job, assignment }, result)
      if (await here.run(job, signal, answered)) return job.outcome
    }
    const abort = () => {
      job.fail(signal.reason)
      this.#proceed(job)
    }
    signal.addEventListener('abort', abort)
    try {
      this.#add(job)
      this.#proceed(job)
      this.dispatch()
      return await job.outcome
    } finally {
      signal.removeEventListener('abort', abort)
    }
  }

  /** Has any worker answer a message; rejects when the worker is lost. */
  scanTask(message: ScanMessage, seconds: number): Promise<Reply> {
    const task: ScanTask = { vstart: 0, seconds, message, reply: Promise.withResolvers<Reply>() }
    this.#add(task)
    this.dispatch()
    return task.reply.promise
  }

  #add(runnable: Runnable): void {
    this.#queue.add(runnable)
    if (!isLarge(runnable)) this.#lowLatencyUntil = performance.now() + LOW_LATENCY_MS
  }

  /** Sends workers that are free to what waits, and has others leave where that is not enough. */
  dispatch(): void {
    if (!this.#slots.ready) this.#failScanTasks()
    Atomics.store(this.#lowLatency, 0, performance.now() < this.#lowLatencyUntil ? 1 : 0)
    this.#sendWaiting()
    this.#rebalance()
  }

  #sendWaiting(): void {
    const chosen: Dispatch[] = []
    for (;;) {
      const slot = this.#inFlight.freeSlot(each => this.#slots.available(each))
      const dispatch = slot === undefined ? undefined : this.#choose(slot)
      if (dispatch === undefined) break
      this.#inFlight.add(dispatch)
      chosen.push(dispatch)
    }
    // Of a team, the first worker is woken here, and wakes others, who wake others: this thread occupies a core, and those that it wakes
    // may find themselves on one together. A message must be there before its worker is woken, so the last of the tree are sent first.
    for (const dispatch of chosen) if (!dispatch.team) void this.#send(dispatch)
    const team = chosen.filter(dispatch => dispatch.team)
    for (let at = team.length - 1; at >= 0; at--) {
      const children = team.slice(2 * at + 1, 2 * at + 3)
      const wakes = children.map(({ slot }) => this.#slots.wakeWord(slot))
      void this.#send(team[at], wakes, at > 0)
    }
  }

  /** The runnable that has had the least, and what crosses to the slot for it. */
  #choose(slot: number): Dispatch | undefined {
    const first = this.#queue.first()
    if (first === undefined) return undefined
    if (isLarge(first)) {
      if (!this.#inFlight.idle(slot)) return undefined
      return { slot, team: true, tasks: [this.#assign(first)], seconds: Number.POSITIVE_INFINITY }
    }
    if (!(first instanceof Job)) {
      this.#queue.charge(first)
      this.#queue.remove(first)
      return { slot, team: false, scanTask: first, tasks: [], seconds: first.seconds }
    }
    const tasks = [this.#assign(first)]
    let { seconds } = first
    while (tasks.length < BATCH && seconds < BATCH_SECONDS) {
      const job = this.#queue.firstSmall()
      if (!(job instanceof Job)) break
      tasks.push(this.#assign(job))
      seconds += job.seconds
    }
    return { slot, team: false, tasks, seconds }
  }

  #assign(job: Job): Assigned {
    this.#queue.charge(job)
    const state = new TaskState(this.#context.memory, this.#taskStates.take())
    return { job, assignment: job.assign(), state }
  }

  /** Jobs wait for a worker to come up, until their signal fires; scan tasks have none. */
  #failScanTasks(): void {
    for (const task of this.#queue.scanTasks()) {
      this.#queue.remove(task)
      task.reply.reject(new Error('no worker responds'))
    }
  }

  async #send(dispatch: Dispatch, wakes: number[] = [], quiet = false): Promise<void> {
    const { slot, scanTask, tasks } = dispatch
    try {
      const texts = tasks.map(({ assignment: { segment, scratch, remainder }, state }) =>
        segment.text({ scratch, remainder, state: state.offset, wakes }),
      )
      const reply = await this.#slots.post(slot, scanTask?.message ?? `[${texts}]`, quiet)
      scanTask?.reply.resolve(reply)
      for (const [index, task] of tasks.entries()) this.#answered(task, (reply as TaskResult[])[index])
    } catch (error) {
      scanTask?.reply.reject(error)
      for (const task of tasks) this.#lost(task, error)
    } finally {
      for (const { state } of tasks) this.#taskStates.giveBack(state.offset)
      this.#inFlight.remove(dispatch)
      this.dispatch()
    }
  }

  #answered({ job, assignment }: Omit<Assigned, 'state'>, result: TaskResult): void {
    // before the worker is released: nothing is complete at a barrier when a task on the way there has failed
    job.note(assignment, result)
    if (result.ok) this.#context.costModel.learn(assignment.segment.stages.flat(), result.measured)
    else if ('crash' in result) {
      this.#options.lost(result.crash)
      job.lose()
    }
    job.release(assignment, result.ok ? result.remainder : undefined)
    this.#proceed(job)
  }

  /** The task's worker is gone. Only what was running then is lost with it. */
  #lost({ job, assignment, state }: Assigned, error: unknown): void {
    const at = state.now
    if (at === TASK_STATE.queued) job.release(assignment, assignment.remainder)
    else if (at === TASK_STATE.done) job.release(assignment)
    else if (at === TASK_STATE.faulted && job.small && !job.stopped) {
      // what was wrong with the client's data is lost with the message: it is found again
      assignment.segment.restart()
      job.release(assignment)
    } else {
      this.#options.lost(error instanceof Error ? error.message : String(error))
      job.lose()
      job.release(assignment)
    }
    this.#proceed(job)
  }

  /** On with the job from where it is: to its next segment, to a barrier that blocks it, or to its end. */
  #proceed(job: Job): void {
    const barrier = job.advance()
    if (barrier !== undefined) {
      this.#queue.block(job)
      const unblock = (error?: Error) => this.#unblock(job, error)
      barrier.then(() => unblock(), unblock)
    }
    if (job.finished && this.#queue.remove(job)) job.settle()
  }

  #unblock(job: Job, error: Error | undefined): void {
    if (job.stopped) return
    job.unblock()
    this.#queue.resume(job)
    if (error !== undefined) job.fail(error)
    this.#proceed(job)
    this.dispatch()
  }

  /** Where a job waits that has had less than running ones, has a worker leave those that have had the most, now or soon. */
  #rebalance(): void {
    clearTimeout(this.#rebalanceTimer)
    const now = performance.now()
    const waiting = this.#queue.waiting(now)
    if (waiting.length === 0) return
    const jobs = this.#queue.running()
    const coming = jobs.reduce((sum, { preempted }) => sum + preempted, 0)
    for (const least of waiting.slice(coming)) {
      let most: Job | undefined
      for (const job of jobs) {
        if (job.unpreempted > 0 && (most === undefined || vruntime(job, now) > vruntime(most, now)))
          most = job
      }
      if (most === undefined) return
      if (vruntime(most, now) < least) {
        this.#rebalanceTimer = setTimeout(() => this.#rebalance(), REBALANCE_MS)
        return
      }
      most.requestPreemption()
      // a small one may wait at that worker
      this.#sendWaiting()
    }
  }
}
