/** One program on its way through the pool: which parts may run now, what is in flight, how it ended. */
import type { Spans, Step } from '../../workers/program.ts'
import type { BufferPlace, Fault } from '../../workers/task.ts'
import type { Program } from '../programs/program.ts'
import { Cut, type Part } from './cut.ts'
import type { Speed } from './speed.ts'

/** A program cheaper than this runs whole as one task: one crossing. */
const WHOLE_SECONDS = 0.002
/** No task is to take longer than about this, so that others get their turn. */
const PART_SECONDS = 0.005
/** Cutting finer than this costs more in crossings than it gains. */
const LEAST_SECONDS = 0.0003

/** Where a program's buffers and work areas stand. */
export interface Placement {
  buffers: BufferPlace[]
  scratch: number[]
}

export interface JobReport {
  spans: Spans
  /** time between submission and the first task's start */
  queueMs: number
  /** set when a step found something in the client's data that cannot be */
  fault?: { fault: Fault; step: Step }
}

export interface JobTask {
  parts: Part[]
  scratch: number
  /** estimated time, for fairness */
  seconds: number
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
  readonly report: JobReport = { spans: {}, queueMs: 0 }
  readonly submitted = performance.timeOrigin + performance.now()
  readonly settle: (error?: Error) => void
  readonly #speed: Speed
  readonly #threads: number
  readonly #freeScratch: number[]
  #stage = -1
  #cuts: Cut[] = []
  #whole: Part[] | undefined

  constructor(
    program: Program,
    placement: Placement,
    speed: Speed,
    threads: number,
    settle: (error?: Error) => void,
  ) {
    this.program = program
    this.placement = placement
    this.settle = settle
    this.#speed = speed
    this.#threads = threads
    this.#freeScratch = [...placement.scratch]
    this.seconds = programSeconds(program, speed)
    if (this.seconds <= WHOLE_SECONDS) {
      this.#whole = program.stages.flat().map(step => ({ step, from: 0, to: step.units }))
      this.#stage = program.stages.length
    } else {
      this.#advance()
    }
  }

  get small(): boolean {
    return this.seconds <= WHOLE_SECONDS
  }

  /** Nothing left to run or to wait for. */
  get finished(): boolean {
    return (
      this.inFlight === 0 &&
      (this.stopped || (this.#whole === undefined && this.#stage >= this.program.stages.length))
    )
  }

  next(): JobTask | undefined {
    if (this.stopped || this.#freeScratch.length === 0) return undefined
    const parts = this.#nextParts()
    if (parts === undefined) return undefined
    const scratch = this.#freeScratch.pop() as number
    this.inFlight++
    const seconds = parts.reduce((total, part) => total + this.#partSeconds(part), 0)
    return { parts, scratch, seconds }
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
    if (this.small) return
    const part = task.parts[0]
    const stage = this.program.stages[this.#stage]
    this.#cuts[stage.indexOf(part.step)].finish(part)
    if (this.#cuts.every(cut => cut.finished)) this.#advance()
  }

  /** The task never began (its worker was lost before): it may be handed out again. */
  giveBack(task: JobTask): void {
    this.#release(task)
    if (this.small) this.#whole = task.parts
    else this.#cuts[this.program.stages[this.#stage].indexOf(task.parts[0].step)].giveBack(task.parts[0])
  }

  #release(task: JobTask): void {
    this.inFlight--
    this.#freeScratch.push(task.scratch)
  }

  #advance(): void {
    do this.#stage++
    while (this.program.stages[this.#stage]?.length === 0)
    const stage = this.program.stages[this.#stage]
    this.#cuts = (stage ?? []).map(step => new Cut(step, this.#partsOf(step)))
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
