/** One program on its way through the workers: the segment that it is at, who is at it, how it ended. */
import type { Fault, Remainder, Spans, Step, TaskResult } from '../../workers/contract.ts'
import { Problem } from '../problem.ts'
import type { Barrier } from '../program.ts'
import type { CostModel } from './cost-model.ts'
import type { PlacedProgram } from './placement.ts'
import { type Progress, planSegment, Segment, type SegmentContext, SOLO_SECONDS } from './segment.ts'

export interface JobReport {
  /** since the last barrier */
  spans: Spans
  /** time between submission and the first task's start; absent while no task has started */
  queueMs?: number
  /** set when a step found something in the client's data that cannot be */
  fault?: { fault: Fault; step: Step }
}

/**
 * Told that a barrier has been reached, with the report so far. Nothing behind the barrier starts before the promise has
 * settled: the job is blocked, and no worker is at it. A rejection ends the job.
 */
export type OnBarrier = (barrier: number, report: JobReport) => Promise<void> | undefined

/** Told how many stages are done, now and then. */
export type OnProgress = (stages: number) => void

/** What all jobs share. */
export interface EngineContext extends SegmentContext {
  costModel: CostModel
  threads: number
}

/** One worker's place at a job's segment. */
export interface Assignment {
  segment: Segment
  scratch: number
  /** what another worker left undone */
  remainder: Remainder | undefined
  /** milliseconds of `performance.now` */
  since: number
}

export class Job {
  /** estimated time on one worker */
  readonly seconds: number
  readonly group: string | undefined
  /** virtual time at which it was submitted, and what others of its group had to be counted for it until `sharedFrom` */
  vstart = 0
  /** others of its group that share with it, */
  siblings = 0
  /** since it had had this many seconds */
  sharedFrom = 0
  /** no further task is to start */
  stopped = false
  /** waits at a barrier */
  blocked = false
  readonly report: JobReport = { spans: {} }
  readonly #submitted = performance.timeOrigin + performance.now()
  readonly #outcome = Promise.withResolvers<JobReport>()
  readonly #placed: PlacedProgram
  readonly #onBarrier: OnBarrier | undefined
  readonly #onProgress: OnProgress | undefined
  readonly #context: EngineContext
  readonly #freeScratch: number[]
  readonly #team: Set<Assignment> = new Set()
  /** seconds of worker time that it has had, without those of its present team */
  #serviceTime = 0
  #segment: Segment | undefined
  #next: Progress = { stage: 0, step: 0, passed: 0 }
  #nextBarrier = 0
  #failure: Error | undefined

  constructor(placed: PlacedProgram, context: EngineContext, onBarrier?: OnBarrier, onProgress?: OnProgress) {
    this.#placed = placed
    this.#context = context
    this.#onBarrier = onBarrier
    this.#onProgress = onProgress
    this.#freeScratch = [...placed.placement.scratch]
    this.seconds = placed.cost.seconds
    this.group = placed.group
  }

  /** Settled by `settle`. */
  get outcome(): Promise<JobReport> {
    return this.#outcome.promise
  }

  /** For one worker, and without barriers. */
  get small(): boolean {
    return this.seconds <= SOLO_SECONDS && this.#placed.program.barriers.length === 0
  }

  /** How many workers are at it. */
  get team(): number {
    return this.#team.size
  }

  /** How many of them are asked to leave. */
  get preempted(): number {
    return this.#segment?.preempted ?? 0
  }

  get unpreempted(): number {
    return this.team - this.preempted
  }

  /** Nothing left to run or to wait for. */
  get finished(): boolean {
    return this.team === 0 && (this.stopped || (!this.blocked && this.#segment === undefined))
  }

  /** Whether one more worker would find something to do. While workers are asked to leave, none is to come in their place. */
  get open(): boolean {
    const segment = this.#segment
    return (
      !this.stopped &&
      segment !== undefined &&
      segment.preempted === 0 &&
      this.team < segment.team &&
      segment.open
    )
  }

  /** Seconds of worker time that it has had until now. */
  serviceTime(now: number): number {
    let seconds = this.#serviceTime
    for (const { since } of this.#team) seconds += (now - since) / 1000
    return seconds
  }

  /** From now on what it gets counts `count` times. */
  shareAmong(count: number): void {
    const service = this.serviceTime(performance.now())
    this.vstart += this.siblings * (service - this.sharedFrom)
    this.sharedFrom = service
    this.siblings = count - 1
  }

  /** A place for one more worker, where the job is open. */
  assign(): Assignment {
    const segment = this.#segment as Segment
    segment.begin()
    const assignment = {
      segment,
      scratch: this.#freeScratch.pop() as number,
      remainder: segment.remainders.pop(),
      since: performance.now(),
    }
    this.#team.add(assignment)
    return assignment
  }

  requestPreemption(): void {
    this.#segment?.requestPreemption()
  }

  /** Takes over what a worker found and how long it took; nothing further starts where it failed. */
  note(assignment: Assignment, result: TaskResult): void {
    const { report } = this
    for (const phase of ['decode', 'compute', 'encode'] as const) {
      const span = result.spans[phase]
      if (span !== undefined) report.spans[phase] = union(report.spans[phase], span)
    }
    const first = Object.values(result.spans)[0]?.[0]
    if (first !== undefined) report.queueMs ??= Math.max(0, first - this.#submitted)
    if (result.ok) return
    this.stop()
    if ('fault' in result)
      report.fault ??= { fault: result.fault, step: assignment.segment.stages.flat()[result.step] }
  }

  /** A worker has left; what it had claimed and did not do is for the next. */
  release(assignment: Assignment, remainder?: Remainder): void {
    const { segment, since, scratch } = assignment
    segment.preemptionAnswered()
    if (remainder !== undefined) segment.remainders.push(remainder)
    this.#team.delete(assignment)
    this.#serviceTime += (performance.now() - since) / 1000
    this.#freeScratch.push(scratch)
    if (this.team === 0 && (this.stopped || segment.complete)) this.#endSegment()
  }

  /**
   * On to the next segment that has steps, unless the job is at one already. A promise where a barrier on the way there
   * blocks the job: when it has settled, `unblock` is to be called.
   */
  advance(): Promise<void> | undefined {
    if (this.stopped || this.blocked) return undefined
    const { stages, barriers } = this.#placed.program
    while (this.#segment === undefined) {
      const { stage, step } = this.#next
      this.#onProgress?.(stage)
      while (step === 0 && barriers[this.#nextBarrier]?.stage === stage - 1) {
        const barrier = this.#nextBarrier++
        const skips = this.#skip(barriers[barrier])
        const wait = this.#onBarrier?.(barrier, this.report)
        this.report.spans = {}
        this.blocked = wait !== undefined
        if (this.blocked) return wait
        if (skips) break
      }
      if (this.#next.stage !== stage) continue
      if (stage >= stages.length) return undefined
      const end = (barriers[this.#nextBarrier]?.stage ?? stages.length - 1) + 1
      this.#planSegment(end)
    }
    return undefined
  }

  /** Whether it goes on further behind, by what has been computed up to a barrier. */
  #skip({ skip }: Barrier): boolean {
    if (skip === undefined) return false
    const { placement, program } = this.#placed
    const { memory } = this.#context
    const [id] = new Int32Array(memory.buffer, placement.buffers[skip.id].offset, 1)
    if (!skip.among.includes(id)) return false
    const { stage, passed } = this.#next
    const skipped = program.stages.slice(stage, skip.to).reduce((sum, { length }) => sum + length, 0)
    this.#next = { stage: skip.to, step: 0, passed: passed + skipped }
    while (program.barriers[this.#nextBarrier]?.stage < skip.to) this.#nextBarrier++
    return true
  }

  unblock(): void {
    this.blocked = false
  }

  /** It is to end with this error, once no task of it is in flight. */
  fail(error: Error): void {
    this.#failure ??= error
    this.stop()
  }

  /** The same where a worker was lost with what it computed. */
  lose(): void {
    this.fail(new Problem('WORKER_LOST', 'the computation was lost; it may be sent again'))
  }

  /** No further task is to start, and those that are in flight are to end. */
  stop(): void {
    this.stopped = true
    this.#segment?.stop()
    if (this.team === 0) this.#endSegment()
  }

  /** To be called once, when it is finished. */
  settle(): void {
    if (this.#failure === undefined) this.#outcome.resolve(this.report)
    else this.#outcome.reject(this.#failure)
  }

  #planSegment(end: number): void {
    const { buffers, scratch } = this.#placed.placement
    const plan = planSegment(this.#placed, this.#next, end, Math.min(this.#context.threads, scratch.length))
    this.#next = plan.next
    if (plan.costs.length > 0) this.#segment = new Segment(plan, buffers, this.#context)
  }

  #endSegment(): void {
    this.#segment?.end()
    this.#segment = undefined
  }
}

type Span = [number, number]

function union(a: Span | undefined, b: Span): Span {
  return a === undefined ? b : [Math.min(a[0], b[0]), Math.max(a[1], b[1])]
}
