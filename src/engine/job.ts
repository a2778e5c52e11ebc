/** One program on its way through the workers: the leg that it is at, who is at it, how it ended. */
import type { Rest, Spans, Step } from '../../workers/program.ts'
import type { BufferPlace, Fault } from '../../workers/task.ts'
import type { Program } from '../program.ts'
import type { Speed } from './cost-model.ts'
import { Leg, LONE_SECONDS, type Progress, planLeg } from './segment.ts'
import type { Stock } from './word-pool.ts'

/** Where a program's buffers and work areas stand. */
export interface Placement {
  buffers: BufferPlace[]
  /** one for each worker */
  scratch: number[]
}

export interface JobReport {
  /** since the last mark */
  spans: Spans
  /** time between submission and the first task's start */
  queueMs: number
  /** set when a step found something in the client's data that cannot be */
  fault?: { fault: Fault; step: Step }
}

/**
 * Told that a mark has been reached, with the report so far. Nothing behind the mark starts before the promise has
 * settled: the job is held, occupying no worker. A rejection ends the job.
 */
export type Watch = (mark: number, report: JobReport) => Promise<void> | undefined

export interface JobEvents {
  /** something ended, perhaps the job */
  settle(error?: Error): void
  resumed(): void
  watch?: Watch | undefined
}

/** What all jobs share. */
export interface Ground {
  memory: WebAssembly.Memory
  boards: Stock
  /** byte offset of the word that tells workers to look up more often */
  hurry: number
  speed: Speed
  threads: number
}

/** One worker's place at a job's leg. */
export interface Part {
  leg: Leg
  scratch: number
  /** what another left undone */
  rest: Rest | undefined
  /** milliseconds of `performance.now` */
  since: number
}

export class Job {
  readonly program: Program
  readonly placement: Placement
  /** estimated time on one worker */
  readonly seconds: number
  /** virtual time at which it was submitted */
  start = 0
  /** no further task is to start */
  stopped = false
  /** waits at a mark for whoever watches */
  held = false
  readonly report: JobReport = { spans: {}, queueMs: 0 }
  readonly submitted = performance.timeOrigin + performance.now()
  readonly settle: (error?: Error) => void
  readonly #events: JobEvents
  readonly #ground: Ground
  readonly #freeScratch: number[]
  readonly #parts: Set<Part> = new Set()
  /** seconds of workers' time that it has had, before those that are at it now */
  #had = 0
  #leg: Leg | undefined
  #next: Progress = { stage: 0, step: 0 }
  #nextMark = 0

  constructor(program: Program, placement: Placement, ground: Ground, events: JobEvents) {
    this.program = program
    this.placement = placement
    this.settle = events.settle
    this.#events = events
    this.#ground = ground
    this.#freeScratch = [...placement.scratch]
    this.seconds = programSeconds(program, ground.speed)
  }

  /** To be called once, before anything else. */
  begin(): void {
    this.#advance()
  }

  /** For one worker, and without marks. */
  get small(): boolean {
    return this.seconds <= LONE_SECONDS && this.program.marks.length === 0
  }

  /** How many workers are at it that nobody has called away. */
  get staying(): number {
    return this.crew - this.called
  }

  /** How many are on their way from it to someone who waits. */
  get called(): number {
    return this.#leg?.called ?? 0
  }

  callAway(): void {
    this.#leg?.call()
  }

  /** How many workers are at it. */
  get crew(): number {
    return this.#parts.size
  }

  /** Nothing left to run or to wait for. */
  get finished(): boolean {
    return this.crew === 0 && (this.stopped || (!this.held && this.#leg === undefined))
  }

  /** Whether one more worker would find something to do. */
  get open(): boolean {
    const leg = this.#leg
    return !this.stopped && leg !== undefined && this.crew < leg.crew && leg.open
  }

  /** Seconds of workers' time that it has had until now. */
  had(now: number): number {
    let had = this.#had
    for (const { since } of this.#parts) had += (now - since) / 1000
    return had
  }

  /** A place for one more worker, where the job is open. */
  take(): Part {
    const leg = this.#leg as Leg
    leg.begin(this.placement.buffers, this.#ground)
    const scratch = this.#freeScratch.pop() as number
    const part = { leg, scratch, rest: leg.rests.pop(), since: performance.now() }
    this.#parts.add(part)
    return part
  }

  /** A worker has left; what it had claimed and did not do is for the next. */
  leave(part: Part, rest?: Rest): void {
    part.leg.back()
    if (rest !== undefined) part.leg.rests.push(rest)
    this.#parts.delete(part)
    this.#had += (performance.now() - part.since) / 1000
    this.#freeScratch.push(part.scratch)
    if (this.crew > 0) return
    if (this.stopped) this.stop()
    else if (part.leg.complete) {
      part.leg.end()
      this.#leg = undefined
      this.#advance()
    }
  }

  /** No further task is to start, and those that are in flight are to end. */
  stop(): void {
    this.stopped = true
    this.#leg?.stop()
    if (this.crew > 0) return
    this.#leg?.end()
    this.#leg = undefined
  }

  /** On to the next leg that has steps, unless a mark on the way there holds the job. */
  #advance(): void {
    const { stages, marks } = this.program
    while (this.#leg === undefined) {
      const { stage, step } = this.#next
      while (step === 0 && marks[this.#nextMark]?.stage === stage - 1) {
        if (this.#heldAt(this.#nextMark++)) return
      }
      if (stage >= stages.length) return
      const end = (marks[this.#nextMark]?.stage ?? stages.length - 1) + 1
      const { speed, threads, memory, boards } = this.#ground
      const leg = planLeg(this.program, this.#next, end, speed, threads)
      this.#next = leg.next
      if (leg.stages.some(steps => steps.length > 0))
        this.#leg = new Leg(leg.stages, Math.min(leg.crew, this.placement.scratch.length), memory, boards)
    }
  }

  #heldAt(mark: number): boolean {
    const wait = this.#events.watch?.(mark, this.report)
    this.report.spans = {}
    if (wait === undefined) return false
    this.held = true
    const goOn = (error?: Error) => {
      if (this.stopped) return
      this.held = false
      this.#events.resumed()
      if (error === undefined) this.#advance()
      this.settle(error)
    }
    wait.then(() => goOn(), goOn)
    return true
  }
}

export function programSeconds(program: Program, speed: Speed): number {
  return program.stages.flat().reduce((total, step) => total + speed.seconds(step), 0)
}
