/** How fast this machine runs, learned from the tasks themselves; admission and grains are computed with it. */
import type { Precision, Step, Work } from '../../workers/contract.ts'
import type { Program } from '../program.ts'

/** Text and memory steps are estimated by bytes: about the speed at which numbers are printed; they are parsed faster. */
const BYTES_PER_SECOND = 500e6
/** What every step costs, however small. */
const STEP_SECONDS = 2e-6
/** What a unit costs even where it computes nothing: a step is never believed free, and polls are never far apart. */
const UNIT_SECONDS = 10e-9
/** Tasks with less work than this say more about overhead than about speed. */
const TELLING_FLOPS = 2e6
const WEIGHT = 0.1

/** Estimated time of a program on one worker. */
export interface Cost {
  /** of each step, in the order of the stages */
  steps: Float64Array
  seconds: number
}

export class CostModel {
  /** floating-point operations a second of one worker */
  readonly flops: Record<Precision, number> = { float32: 20e9, float64: 0.5e9 }

  /** Computed once, when a program is admitted, and kept with it. */
  cost({ stages }: Program): Cost {
    let count = 0
    for (const steps of stages) count += steps.length
    const steps = new Float64Array(count)
    let seconds = 0
    let at = 0
    for (const stage of stages) {
      for (const step of stage) {
        steps[at] = this.seconds(step)
        seconds += steps[at++]
      }
    }
    return { steps, seconds }
  }

  /** Estimated time of a step on one worker. */
  seconds(step: Step): number {
    const { units, flops, bytes, precision } = step
    return STEP_SECONDS + units * UNIT_SECONDS + flops / this.flops[precision] + bytes / BYTES_PER_SECOND
  }

  /** What a task did, and the time it took, of each precision. */
  learn(work: Work['speed']): void {
    for (const precision of ['float32', 'float64'] as const) {
      const { flops, seconds } = work[precision] ?? { flops: 0, seconds: 0 }
      if (flops < TELLING_FLOPS || seconds <= 0) continue
      this.flops[precision] += WEIGHT * (flops / seconds - this.flops[precision])
    }
  }
}
