/** The time that a job has, and whatever else ends it, as one signal. */
import { Problem } from '../problem.ts'

export function deadlineOf(seconds: number, stop: AbortSignal): Disposable & { signal: AbortSignal } {
  const late = new AbortController()
  const clock = setTimeout(
    () => {
      late.abort(new Problem('DEADLINE_EXCEEDED', `expected the job to end within ${seconds} s, it did not`))
    },
    Math.min(seconds * 1000, LONGEST_MS),
  )
  return {
    signal: AbortSignal.any([stop, late.signal]),
    [Symbol.dispose]: () => clearTimeout(clock),
  }
}

/** A timer takes no more. */
const LONGEST_MS = 2 ** 31 - 1
