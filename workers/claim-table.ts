/**
 * The claim table of a segment: 32-bit words in shared memory by which the workers of its team agree who does what.
 *
 *   [stopped] [pending preemptions] [units left, of each stage] [next unit, of each step]
 *
 * Units are claimed by moving a step's next unit on, and counted off their stage when they are done; a stage is complete
 * when none is left. No word needs a lock: a worker may come late, leave early or be slow, and the others take what it
 * does not.
 */

/** How a step's range may be cut. */
export interface Split {
  /** the step's range is [0, units) */
  units: number
  /** units in a row that must run one after the other (they accumulate); 1 = all independent */
  chain: number
  /** units in a row that share what has to be prepared for them: cut between, not within, where either would do */
  group?: number
}

/** Stages of steps: of a program, or of a segment of it. */
export type Stages<S extends Split = Split> = readonly (readonly S[])[]

/** The most steps that a segment may have, and the most stages. */
export const MAX_STEPS = 64
/** Words before those of the stages. */
const HEAD = 2
const TABLE_WORDS = HEAD + 2 * MAX_STEPS
export const CLAIM_TABLE_BYTES = 4 * TABLE_WORDS

const STOPPED = 0
const PREEMPTIONS = 1
/** Loads of a stage's word before the worker parks: about 30 µs. */
const SPIN_LIMIT = 5_000
/** A parked worker polls at this interval, for no request for preemption wakes it. */
const PARK_MS = 1

export class ClaimTable {
  readonly #words: Int32Array
  readonly #stages: Stages

  /** At most MAX_STEPS stages, and as many steps. */
  constructor(memory: WebAssembly.Memory, offset: number, stages: Stages) {
    this.#words = new Int32Array(memory.buffer, offset, TABLE_WORDS)
    this.#stages = stages
  }

  /** Nothing is claimed and nothing is done. Only while no worker is at the segment. */
  reset(): void {
    this.#words.fill(0)
    for (const [stage, steps] of this.#stages.entries())
      this.#words[HEAD + stage] = steps.reduce((sum, { units }) => sum + units, 0)
  }

  /** Nothing more is to be done. */
  stop(): void {
    Atomics.store(this.#words, STOPPED, 1)
  }

  get stopped(): boolean {
    return Atomics.load(this.#words, STOPPED) !== 0
  }

  /** One worker is to leave: the first that polls. */
  requestPreemption(): void {
    Atomics.add(this.#words, PREEMPTIONS, 1)
  }

  /** Takes back all requests but `most`. */
  capPreemptions(most: number): void {
    for (let pending = this.#pendingPreemptions; pending > most; pending = this.#pendingPreemptions)
      Atomics.compareExchange(this.#words, PREEMPTIONS, pending, most)
  }

  /** A worker's poll: whether it is to leave. To leave answers one request for preemption. */
  shouldYield(): boolean {
    if (this.stopped) return true
    for (let pending = this.#pendingPreemptions; pending > 0; pending = this.#pendingPreemptions) {
      if (Atomics.compareExchange(this.#words, PREEMPTIONS, pending, pending - 1) === pending) return true
    }
    return false
  }

  get #pendingPreemptions(): number {
    return Atomics.load(this.#words, PREEMPTIONS)
  }

  /** Whether all stages are complete. */
  get complete(): boolean {
    return this.#stages.every((_, stage) => Atomics.load(this.#words, HEAD + stage) === 0)
  }

  /** Whether a step has units that are not claimed. */
  get claimable(): boolean {
    return this.#stages.flat().some(({ units }, step) => Atomics.load(this.#words, this.#next(step)) < units)
  }

  /**
   * Claims about `max` units or fewer of the segment's step number `step`: [from, to), whole chains; undefined when there
   * are none. A worker claims much while there is much left and less towards the end, so that all end together: no less than
   * `min`, or than an equal share of what is left where that is less and at least `least`.
   */
  claim(
    step: number,
    split: Split,
    min: number,
    max: number,
    team: number,
    least = min,
  ): [number, number] | undefined {
    const word = this.#next(step)
    for (;;) {
      const from = Atomics.load(this.#words, word)
      if (from >= split.units) return undefined
      const left = split.units - from
      const some = Math.max(least, Math.min(min, Math.ceil(left / team)))
      const share = Math.floor(left / (2 * team))
      const to = endOfClaim(split, from, team === 1 ? max : Math.max(some, Math.min(max, share)))
      if (Atomics.compareExchange(this.#words, word, from, to) === from) return [from, to]
    }
  }

  /** That many units of the stage are done. */
  count(stage: number, units: number): void {
    const word = HEAD + stage
    if (Atomics.sub(this.#words, word, units) === units) Atomics.notify(this.#words, word)
  }

  /** Waits until the stage is complete, or until the worker should yield; whether the stage is complete. A parked worker says that it polls. */
  await(stage: number, polled = () => {}): boolean {
    const word = HEAD + stage
    for (let spins = 0; ; spins++) {
      const left = Atomics.load(this.#words, word)
      if (left === 0) return true
      if (this.shouldYield()) return false
      if (spins <= SPIN_LIMIT) continue
      polled()
      Atomics.wait(this.#words, word, left, PARK_MS)
    }
  }

  #next(step: number): number {
    return HEAD + MAX_STEPS + step
  }
}

/** Where a claim of about `wanted` units ends. */
function endOfClaim({ units, chain, group = 1 }: Split, from: number, wanted: number): number {
  if (chain > 1) return Math.min(units, from + Math.max(chain, Math.floor(wanted / chain) * chain))
  const to = Math.min(units, from + wanted)
  const boundary = Math.floor(to / group) * group
  return to === units || boundary <= from ? to : boundary
}

/** Wakes the worker that waits at this word. */
export function wake(memory: WebAssembly.Memory, wakeWord: number): void {
  const word = new Int32Array(memory.buffer, wakeWord, 1)
  Atomics.add(word, 0, 1)
  Atomics.notify(word, 0)
}
