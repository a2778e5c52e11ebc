/**
 * Finds workers that have hung. A worker polls every few milliseconds, and leaves a job that has been stopped when it does;
 * one that has not polled for seconds, though its job has been stopped, will not come back by itself.
 */
import { TASK_STATE } from '../../workers/contract.ts'
import type { Dispatch, InFlight } from './pool.ts'
import type { Replaceable } from './slots.ts'

/** A worker that has been at something for this time without a poll does not respond. */
export const RESPONSE_MS = 2_000

interface Seen {
  dispatch: Dispatch | undefined
  progress: number
  /** when it was first seen like this */
  at: number
}

export class Watchdog {
  readonly #slots: Replaceable
  readonly #inFlight: InFlight
  readonly #seen: Seen[]

  constructor(slots: Replaceable, inFlight: InFlight) {
    this.#slots = slots
    this.#inFlight = inFlight
    this.#seen = Array.from({ length: slots.count }, () => ({ dispatch: undefined, progress: 0, at: 0 }))
  }

  /** To be called now and then: replaces those that have hung; whether any worker responds. */
  check(now = performance.now()): boolean {
    let responding = false
    for (const [slot, seen] of this.#seen.entries()) {
      const dispatch = this.#inFlight.oldest(slot)
      const progress = progressOf(dispatch)
      const moved = dispatch !== seen.dispatch || progress !== seen.progress
      if (dispatch === undefined || moved || !this.#slots.loaded(slot))
        this.#seen[slot] = { dispatch, progress, at: now }
      if (now - this.#seen[slot].at < RESPONSE_MS) responding = true
      else if (dispatch !== undefined && isOver(dispatch))
        this.#slots.replace(slot, `a worker did not poll for ${RESPONSE_MS} ms`)
    }
    return responding
  }
}

function progressOf(dispatch: Dispatch | undefined): number {
  let progress = 0
  for (const { state } of dispatch?.tasks ?? []) progress += state.now + state.polls
  return progress
}

/** Whether its worker should have left: a piece of a scan takes a millisecond, and nobody waits for a job that was stopped. */
function isOver({ scanTask, tasks }: Dispatch): boolean {
  const abandoned = tasks.some(({ job, state }) => job.stopped && state.now === TASK_STATE.running)
  return scanTask !== undefined || abandoned
}
