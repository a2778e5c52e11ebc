/**
 * The board of a leg: 32-bit words in shared memory by which the workers at it agree who does what.
 *
 *   [stopped] [calls] [units left, of each stage] [next unit, of each step]
 *
 * Units are claimed by moving a step's next unit on, and counted off their stage when they are done; a stage is complete
 * when none is left. No word needs a lock: a worker may come
 * late, leave early or be slow, and the others take what it does not.
 */

/** How a step's range may be taken up. */
export interface Split {
  /** the step's range is [0, units) */
  units: number
  /** units in a row that must run one after the other (they accumulate); 1 = all independent */
  chain: number
  /** units in a row that share what has to be prepared for them: cut between, not within, where either would do */
  group?: number
}

/**
 * How many units are worth a claim, and how many are claimed at most, and run before the worker looks up again: many, or
 * fewer when others come often who want it elsewhere.
 */
export interface Portion {
  least: number
  most: number
  hurried: number
}

/** Stages of steps: of a program, or of a leg of it. */
export type Stages<S extends Split = Split> = readonly (readonly S[])[]

/** At most so many steps stand in a leg, and so many stages. */
export const BOARD_STEPS = 64
/** Words before those of the stages. */
const HEAD = 2
const BOARD_WORDS = HEAD + 2 * BOARD_STEPS
export const BOARD_BYTES = 4 * BOARD_WORDS

const STOPPED = 0
const CALLS = 1
/** So often a worker looks whether the others are ready before it goes to sleep: about 30 µs. */
const LOOKS = 5_000
/** It then looks up so often, should anybody want it elsewhere. */
const NAP_MS = 1

export class Board {
  readonly #words: Int32Array
  readonly #stages: Stages

  /** At most BOARD_STEPS stages, and as many steps. */
  constructor(memory: WebAssembly.Memory, offset: number, stages: Stages) {
    this.#words = new Int32Array(memory.buffer, offset, BOARD_WORDS)
    this.#stages = stages
  }

  /** To be called once, before any worker knows the board. */
  open(): void {
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

  /** Calls a worker away: whichever looks up first. */
  call(): void {
    Atomics.add(this.#words, CALLS, 1)
  }

  /** Takes back all calls but so many. */
  keepCalls(most: number): void {
    for (let calls = this.#calls; calls > most; calls = this.#calls)
      Atomics.compareExchange(this.#words, CALLS, calls, most)
  }

  /** A worker looks up: whether it may stay. It answers a call by leaving. */
  mayStay(): boolean {
    if (this.stopped) return false
    for (let calls = this.#calls; calls > 0; calls = this.#calls) {
      if (Atomics.compareExchange(this.#words, CALLS, calls, calls - 1) === calls) return false
    }
    return true
  }

  get #calls(): number {
    return Atomics.load(this.#words, CALLS)
  }

  /** Whether all stages are complete. */
  get complete(): boolean {
    return this.#stages.every((_, stage) => Atomics.load(this.#words, HEAD + stage) === 0)
  }

  /** Whether there is something that nobody has claimed. */
  get claimable(): boolean {
    return this.#stages.flat().some(({ units }, step) => Atomics.load(this.#words, this.#next(step)) < units)
  }

  /**
   * Claims at most about `most` units of the leg's step number `step`: [from, to), whole chains; undefined when there are
   * none. While there is much left a worker takes much, towards the end less, so that all end together.
   */
  claim(step: number, split: Split, least: number, most: number, crew: number): [number, number] | undefined {
    const word = this.#next(step)
    for (;;) {
      const from = Atomics.load(this.#words, word)
      if (from >= split.units) return undefined
      const share = Math.floor((split.units - from) / (2 * crew))
      const to = endOfClaim(split, from, crew === 1 ? most : Math.max(least, Math.min(most, share)))
      if (Atomics.compareExchange(this.#words, word, from, to) === from) return [from, to]
    }
  }

  /** So many units of the stage are done. */
  count(stage: number, units: number): void {
    const word = HEAD + stage
    if (Atomics.sub(this.#words, word, units) === units) Atomics.notify(this.#words, word)
  }

  /** Waits until the stage is complete, or until the worker may not stay; whether it is complete. */
  await(stage: number): boolean {
    const word = HEAD + stage
    for (let looks = 0; ; looks++) {
      const left = Atomics.load(this.#words, word)
      if (left === 0) return true
      if (!this.mayStay()) return false
      if (looks > LOOKS) Atomics.wait(this.#words, word, left, NAP_MS)
    }
  }

  #next(step: number): number {
    return HEAD + BOARD_STEPS + step
  }
}

/** Where a claim of about so many units ends. */
function endOfClaim({ units, chain, group = 1 }: Split, from: number, wanted: number): number {
  if (chain > 1) return Math.min(units, from + Math.max(chain, Math.floor(wanted / chain) * chain))
  const to = Math.min(units, from + wanted)
  const boundary = Math.floor(to / group) * group
  return to === units || boundary <= from ? to : boundary
}
