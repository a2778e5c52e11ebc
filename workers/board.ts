/**
 * The board of a leg: 32-bit words in shared memory by which the workers at it agree who does what.
 *
 *   [stopped] [units left, of each stage] [next unit, of each step]
 *
 * Units are claimed by moving a step's next unit on, and counted off their stage when they are done; a stage is complete
 * when none is left. Words only ever move one way, so there is no lock: a worker may come late, leave early or be slow,
 * and the others take what it does not.
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

/** At most so many steps stand in a stage, and in a leg. */
export const BOARD_STEPS = 64
const BOARD_WORDS = 1 + 2 * BOARD_STEPS
export const BOARD_BYTES = 4 * BOARD_WORDS

const STOPPED = 0
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
      this.#words[1 + stage] = steps.reduce((sum, { units }) => sum + units, 0)
  }

  /** Nothing more is to be done. */
  stop(): void {
    Atomics.store(this.#words, STOPPED, 1)
  }

  get stopped(): boolean {
    return Atomics.load(this.#words, STOPPED) !== 0
  }

  /** Whether all stages are complete. */
  get complete(): boolean {
    return this.#stages.every((_, stage) => Atomics.load(this.#words, 1 + stage) === 0)
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
    const word = 1 + stage
    if (Atomics.sub(this.#words, word, units) === units) Atomics.notify(this.#words, word)
  }

  /** Waits until the stage is complete, or for as long as `stay` says so; whether it is complete. */
  await(stage: number, stay: () => boolean): boolean {
    const word = 1 + stage
    for (let looks = 0; ; looks++) {
      const left = Atomics.load(this.#words, word)
      if (left === 0) return true
      if (!stay()) return false
      if (looks > LOOKS) Atomics.wait(this.#words, word, left, NAP_MS)
    }
  }

  #next(step: number): number {
    return 1 + BOARD_STEPS + step
  }
}

/** Where a claim of about so many units ends. */
function endOfClaim({ units, chain, group = 1 }: Split, from: number, wanted: number): number {
  if (chain > 1) return Math.min(units, from + Math.max(chain, Math.floor(wanted / chain) * chain))
  const to = Math.min(units, from + wanted)
  const boundary = Math.floor(to / group) * group
  return to === units || boundary <= from ? to : boundary
}
