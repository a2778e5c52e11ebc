/** The two times of a run: computing, which has a deadline, and waiting for its client, which must end some time. */
import { Problem } from '../../problem.ts'

export interface Limits {
  deadlineSeconds: number
  idleSeconds: number
}

export class RunClock {
  readonly #limits: Limits
  readonly #late: (problem: Problem) => void
  #computedMs = 0
  #since = performance.now()
  #computing = false
  #ended = false
  #timer: NodeJS.Timeout | undefined

  constructor(limits: Limits, late: (problem: Problem) => void) {
    this.#limits = limits
    this.#late = late
  }

  compute(): void {
    this.#stop()
    this.#computing = true
    const { deadlineSeconds } = this.#limits
    this.#start(
      deadlineSeconds * 1000 - this.#computedMs,
      new Problem('DEADLINE_EXCEEDED', `expected the run to take at most ${deadlineSeconds} s of computing`),
    )
  }

  wait(): void {
    this.#stop()
    const { idleSeconds } = this.#limits
    this.#start(
      idleSeconds * 1000,
      new Problem('CLIENT_IDLE', `expected the client to read or give credit within ${idleSeconds} s`),
    )
  }

  end(): void {
    this.#stop()
    this.#ended = true
  }

  #start(ms: number, problem: Problem): void {
    if (this.#ended) return
    this.#since = performance.now()
    this.#timer = setTimeout(() => this.#late(problem), Math.max(0, ms))
  }

  #stop(): void {
    clearTimeout(this.#timer)
    if (this.#computing) this.#computedMs += performance.now() - this.#since
    this.#computing = false
  }
}
