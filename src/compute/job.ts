/** One program on its way through the pool: which parts may run now, what is in flight, how it ended. */
import type { Spans, Step } from '../../workers/program.ts'
import type { BufferPlace, Fault } from '../../workers/task.ts'
import type { Program } from '../programs/program.ts'
import { Cut, type Part } from './cut.ts'
import type { Speed } from './speed.ts'

/** What is cheaper than this between two marks (without marks: the program) runs whole as one task: one crossing. */
const WHOLE_SECONDS = 0.002
/** No task is to take longer than about this, so that others get their turn. */
const PART_SECONDS = 0.005
/** Cutting finer than this costs more in crossings than it gains. */
const LEAST_SECONDS = 0.0003
/** A stage as cheap as this is not worth cutting: with its like before and behind it, it runs as one task. */
const SLIGHT_SECONDS = 2 * LEAST_SECONDS

/** Where a program's buffers and work areas stand. */
export interface Placement {
  buffers: BufferPlace[]
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

export interface JobTask {
  parts: Part[]
  /** whole stages, one after the other; else a part of one step */
  whole: boolean
  scratch: number
  /** estimated time, for fairness */
  seconds: number
}

/**
 * Told that a mark has been reached, with the report so far. Nothing behind the mark starts before the promise has
 * settled: the job is held, occupying no worker. A rejection ends the job.
 */
export type Watch = (mark: number, report: JobReport) => Promise<void> | undefined

export interface JobEvents {
  /** something ended, perhaps the job */
  settle(error?: Error): void
  held(): void
  resumed(): void
  watch?: Watch | undefined
}

export class Job {
  readonly program: Program
  readonly placement: Placement
  readonly seconds: number
  /** virtual time at which it was submitted, and how much of the pool it has had since */
  start = 0
  had = 0
  inFlight = 0
  /** no further task is to start */
  stopped = false
  /** waits at a mark for whoever watches */
  held = false
  readonly report: JobReport = { spans: {}, queueMs: 0 }
  readonly submitted = performance.timeOrigin + performance.now()
  readonly settle: (error?: Error) => void
  readonly #events: JobEvents
  readonly #speed: Speed
  readonly #threads: number
  readonly #freeScratch: number[]
  #stage = -1
  #nextMark = 0
  /** the next stage is the first behind a mark (or the program's first) */
  #fresh = true
  #cuts: Cut[] = []
  #whole: Part[] | undefined

  constructor(program: Program, placement: Placement, speed: Speed, threads: number, events: JobEvents) {
    this.program = program
    this.placement = placement
    this.settle = events.settle
    this.#events = events
    this.#speed = speed
    this.#threads = threads
    this.#freeScratch = [...placement.scratch]
    this.seconds = programSeconds(program, speed)
  }

  /** To be called once, before anything else. */
  begin(): void {
    this.#advance()
  }

  /** One task and no marks. */
  get small(): boolean {
    return this.seconds <= WHOLE_SECONDS && this.program.marks.length === 0
  }

  /** Nothing left to run or to wait for. */
  get finished(): boolean {
    return this.inFlight === 0 && (this.stopped || (!this.held && this.#stage >= this.program.stages.length))
  }

  next(): JobTask | undefined {
    if (this.stopped || this.#freeScratch.length === 0) return undefined
    const whole = this.#whole !== undefined
    const parts = this.#nextParts()
    if (parts === undefined) return undefined
    const scratch = this.#freeScratch.pop() as number
    this.inFlight++
    const seconds = parts.reduce((total, part) => total + this.#partSeconds(part), 0)
    return { parts, whole, scratch, seconds }
  }

  #nextParts(): Part[] | undefined {
    if (this.#whole !== undefined) {
      const whole = this.#whole
      this.#whole = undefined
      return whole
    }
    for (const cut of this.#cuts) {
      const part = cut.next()
      if (part !== undefined) return [part]
    }
    return undefined
  }

  /** The task has run. */
  finish(task: JobTask): void {
    this.#release(task)
    if (!task.whole) {
      const part = task.parts[0]
      const stage = this.program.stages[this.#stage]
      this.#cuts[stage.indexOf(part.step)].finish(part)
    }
    if (!this.stopped && this.#cuts.every(cut => cut.finished)) this.#advance()
  }

  /** The task never began (its worker was lost before): it may be handed out again. */
  giveBack(task: JobTask): void {
    this.#release(task)
    if (task.whole) this.#whole = task.parts
    else this.#cuts[this.program.stages[this.#stage].indexOf(task.parts[0].step)].giveBack(task.parts[0])
  }

  #release(task: JobTask): void {
    this.inFlight--
    this.#freeScratch.push(task.scratch)
  }

  /** On to the next stage that has steps, unless a mark on the way there holds the job. */
  #advance(): void {
    const { stages } = this.program
    this.#cuts = []
    do {
      while (this.program.marks[this.#nextMark]?.stage === this.#stage) {
        if (this.#heldAt(this.#nextMark++)) return
      }
      this.#stage++
    } while (this.#stage < stages.length && !this.#takeStages())
  }

  /** Takes this stage, or this and those behind it that run together; whether they have something to run. */
  #takeStages(): boolean {
    const { stages } = this.program
    const last = this.#lastTogether()
    if (last === undefined) {
      this.#cuts = stages[this.#stage].map(step => new Cut(step, this.#partsOf(step)))
      return this.#cuts.length > 0
    }
    const steps = stages.slice(this.#stage, last + 1).flat()
    this.#stage = last
    if (steps.length > 0) this.#whole = steps.map(step => ({ step, from: 0, to: step.units }))
    return steps.length > 0
  }

  /**
   * The last of the stages that run as one task from this one on: all up to the next mark where that is cheap, else as
   * many slight ones as follow each other; undefined where this stage is to be cut.
   */
  #lastTogether(): number | undefined {
    const end = this.program.marks[this.#nextMark]?.stage ?? this.program.stages.length - 1
    const fresh = this.#fresh
    this.#fresh = false
    let slight: number | undefined
    let seconds = 0
    for (let stage = this.#stage; stage <= end; stage++) {
      const own = this.#stageSeconds(stage)
      seconds += own
      if (seconds > WHOLE_SECONDS) return slight
      if (own <= SLIGHT_SECONDS && (slight ?? this.#stage - 1) === stage - 1) slight = stage
      else if (!fresh) return slight
    }
    return fresh ? end : slight
  }

  #stageSeconds(stage: number): number {
    return this.program.stages[stage].reduce(
      (sum, step) => sum + this.#speed.seconds(step, this.program.precision),
      0,
    )
  }

  #heldAt(mark: number): boolean {
    this.#fresh = true
    const wait = this.#events.watch?.(mark, this.report)
    this.report.spans = {}
    if (wait === undefined) return false
    this.held = true
    this.#events.held()
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

  /** Enough parts that every worker has some and that none is long, but none too short to be worth a crossing. */
  #partsOf(step: Step): number {
    const seconds = this.#speed.seconds(step, this.program.precision)
    const share = seconds / (2 * this.#threads)
    return seconds / Math.max(LEAST_SECONDS, Math.min(PART_SECONDS, share))
  }

  #partSeconds(part: Part): number {
    return (this.#speed.seconds(part.step, this.program.precision) * (part.to - part.from)) / part.step.units
  }
}

export function programSeconds(program: Program, speed: Speed): number {
  return program.stages.flat().reduce((total, step) => total + speed.seconds(step, program.precision), 0)
}
