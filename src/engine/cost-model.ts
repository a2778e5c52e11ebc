/**
 * How long steps take on this machine. Their ops say what they take on the machine on which prices were measured; a pace
 * for each kind of step (op and precision) says how many times as long it takes here. Paces begin at what the start-up
 * measurement of the kernels says, follow the tasks, and stay within bounds of it: odd tasks, however many, cannot make
 * another client's request look dear.
 */
import type { Measured, Precision, Step } from '../../workers/contract.ts'
import type { Program } from '../program.ts'

/** What every program takes, and every step, however small. */
const PROGRAM_SECONDS = 5e-6
const STEP_SECONDS = 3e-6
/** What a unit takes even where it computes nothing: no step is believed free, and polls are never far apart. */
const UNIT_NANOSECONDS = 10
/** Speed of the chosen kernels in the start-up measurement, on the machine on which prices were measured. */
const PRICED_GIGAFLOPS = 75
/** How far a pace may be from the start-up measurement's, either way; and that from the priced machine's. */
const MOST = 4
/** What a task says moves its kind's pace by this share of the difference (of logarithms), … */
const WEIGHT = 0.05
/** … of which no more than this factor counts. */
const MOST_AT_ONCE = 1.5

/** Estimated time of a program on one worker. */
export interface Cost {
  /** of each step, in the order of the stages */
  steps: Float64Array
  seconds: number
  /** of the steps that follow when it has run */
  later: number
}

export class CostModel {
  /** of every kind of step that has not been learned about */
  readonly #start: number
  /** by op */
  readonly #paces: Record<Precision, Map<string, number>> = { float32: new Map(), float64: new Map() }

  /** `gigaflops`: the chosen kernels' speed in the start-up measurement, where they were timed. */
  constructor(gigaflops = PRICED_GIGAFLOPS) {
    this.#start = within(PRICED_GIGAFLOPS / gigaflops, 1)
  }

  /** Computed once, when a program is admitted, and kept with it. */
  cost({ stages, later: following = [] }: Program): Cost {
    let count = 0
    for (const steps of stages) count += steps.length
    const steps = new Float64Array(count)
    let seconds = PROGRAM_SECONDS
    let at = 0
    for (const stage of stages) {
      for (const step of stage) {
        steps[at] = this.seconds(step)
        seconds += steps[at++]
      }
    }
    let later = 0
    for (const step of following) later += this.seconds(step)
    return { steps, seconds, later }
  }

  /** Estimated time of a step on one worker. */
  seconds(step: Step): number {
    return STEP_SECONDS + priced(step) * this.#pace(step)
  }

  /** What a task of these steps took. */
  learn(steps: readonly Step[], measured: readonly Measured[]): void {
    for (const { step: index, units, seconds } of measured) {
      const step = steps[index]
      const pace = this.#pace(step)
      const estimated = priced(step) * (units / step.units) * pace
      const moved = pace * within(seconds / estimated, 1, MOST_AT_ONCE) ** WEIGHT
      this.#paces[step.precision].set(step.op, within(moved, this.#start))
    }
  }

  #pace({ op, precision }: Step): number {
    return this.#paces[precision].get(op) ?? this.#start
  }
}

/** Seconds on the machine on which prices were measured. */
function priced({ units, nanoseconds }: Step): number {
  return (units * UNIT_NANOSECONDS + nanoseconds) * 1e-9
}

/** `value`, but no further from `middle` than that factor. */
function within(value: number, middle: number, factor = MOST): number {
  return Math.min(Math.max(value, middle / factor), middle * factor)
}
