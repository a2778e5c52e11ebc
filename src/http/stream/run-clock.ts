/**
 * The times of a run: computing, the loading of its model included, which has a deadline; waiting for its client, which must end some time; and both together,
 * with the time for which its maps are kept.
 */
import { Problem } from '../../problem.ts'

export interface Limits {
  deadlineSeconds: number
  idleSeconds: number
  runSeconds: number
}

/** Longer timers fire at once. */
const LONGEST_MS = 2 ** 31 - 1

/** What is called when a time is over. */
interface Ends {
  /** it has computed for too long */
  late(problem: Problem): void
  /** its client has let it wait for too long, or it has been here for too long */
  giveUp(problem: Problem): void
}

export class RunClock implements Disposable {
  readonly #limits: Limits
  readonly #ends: Ends
  #computedMs = 0
  #waitedMs = 0
  #since = performance.now()
  #state: 'stopped' | 'computing' | 'waiting' = 'stopped'
  #ended = false
  #timer: NodeJS.Timeout | undefined
  #whole: NodeJS.Timeout | undefined

  constructor(limits: Limits, ends: Ends) {
    this.#limits = limits
    this.#ends = ends
  }

  /** Milliseconds for which it had waited, beyond those for which it had computed, when it last began to do either. */
  get idleMs(): number {
    return Math.max(0, this.#waitedMs - this.#computedMs)
  }

  compute(): void {
    this.#stop()
    const { deadlineSeconds, runSeconds } = this.#limits
    const tooLong = `expected the run to take at most ${runSeconds} s, waiting for its client included`
    this.#whole ??= setTimeout(
      () => this.#ends.giveUp(new Problem('DEADLINE_EXCEEDED', tooLong)),
      Math.min(LONGEST_MS, runSeconds * 1000),
    )
    this.#start(
      'computing',
      deadlineSeconds * 1000 - this.#computedMs,
      new Problem(
        'DEADLINE_EXCEEDED',
        `expected the run to take at most ${deadlineSeconds} s of loading and computing`,
      ),
      this.#ends.late,
    )
  }

  wait(): void {
    this.#stop()
    const { idleSeconds } = this.#limits
    this.#start(
      'waiting',
      idleSeconds * 1000,
      new Problem('CLIENT_IDLE', `expected the client to read or give credit within ${idleSeconds} s`),
      this.#ends.giveUp,
    )
  }

  /** It has ended, but for the time for which it may be kept. */
  end(): void {
    this.#stop()
    this.#ended = true
  }

  /** Nothing is kept of it. */
  [Symbol.dispose](): void {
    this.end()
    clearTimeout(this.#whole)
  }

  #start(
    state: 'computing' | 'waiting',
    ms: number,
    problem: Problem,
    end: (problem: Problem) => void,
  ): void {
    if (this.#ended) return
    this.#state = state
    this.#since = performance.now()
    this.#timer = setTimeout(() => end(problem), Math.max(0, ms))
  }

  #stop(): void {
    clearTimeout(this.#timer)
    const ms = performance.now() - this.#since
    if (this.#state === 'computing') this.#computedMs += ms
    if (this.#state === 'waiting') this.#waitedMs += ms
    this.#state = 'stopped'
  }
}

/** As frames tell them. */
export function rounded(times: Record<string, number>): Record<string, number> {
  return Object.fromEntries(Object.entries(times).map(([name, ms]) => [name, Math.round(ms * 1000) / 1000]))
}
