/** What is on its way to the workers, or at them. */
import type { Assignment, Job } from './job.ts'
import type { ScanTask } from './run-queue.ts'
import type { TaskState } from './task-state.ts'

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

  /** An idle slot, or else one whose small jobs are short enough that others may wait behind them. */
  freeSlot(available: (slot: number) => boolean): number | undefined {
    const idle = this.#atSlot.findIndex((dispatches, slot) => dispatches.length === 0 && available(slot))
    if (idle >= 0) return idle
    const short = this.#atSlot.findIndex(
      (dispatches, slot) =>
        dispatches.length < MAX_PER_SLOT && secondsOf(dispatches) < AHEAD_SECONDS && available(slot),
    )
    return short >= 0 ? short : undefined
  }
}

function secondsOf(dispatches: Dispatch[]): number {
  return dispatches.reduce((sum, { seconds }) => sum + seconds, 0)
}
