/** Cuts one step's range of units into parts of bounded cost, and keeps the order of units that accumulate. */
import type { Step } from '../../workers/program.ts'

export interface Part {
  step: Step
  from: number
  to: number
}

export class Cut {
  readonly #step: Step
  readonly #unitsPerPart: number
  /** next unit of an independent step */
  #cursor = 0
  /** chained steps whose chains are longer than a part: next unit of each chain that may go on now */
  readonly #ready: number[] | undefined
  readonly #again: Part[] = []
  #left: number

  /** `parts`: into how many parts of about equal cost the step should fall, at least. */
  constructor(step: Step, parts: number) {
    this.#step = step
    this.#left = step.units
    const units = Math.max(1, Math.floor(step.units / parts))
    if (step.chain === 1 || units >= step.chain) {
      this.#unitsPerPart = Math.max(1, Math.floor(units / step.chain)) * step.chain
    } else {
      this.#unitsPerPart = units
      this.#ready = Array.from({ length: step.units / step.chain }, (_, chain) => chain * step.chain)
    }
  }

  get finished(): boolean {
    return this.#left === 0
  }

  /** A part that may run now; undefined when there is none (left or at the moment). */
  next(): Part | undefined {
    const again = this.#again.pop()
    if (again !== undefined) return again
    const step = this.#step
    if (this.#ready !== undefined) {
      const from = this.#ready.shift()
      if (from === undefined) return undefined
      return { step, from, to: Math.min(from + this.#unitsPerPart, endOfChain(from, step.chain)) }
    }
    if (this.#cursor >= step.units) return undefined
    const from = this.#cursor
    this.#cursor = Math.min(from + this.#unitsPerPart, step.units)
    return { step, from, to: this.#cursor }
  }

  /** The part has run. */
  finish(part: Part): void {
    this.#left -= part.to - part.from
    if (this.#ready !== undefined && part.to < endOfChain(part.from, part.step.chain))
      this.#ready.push(part.to)
  }

  /** The part never began and is to be handed out again. */
  giveBack(part: Part): void {
    this.#again.push(part)
  }
}

function endOfChain(unit: number, chain: number): number {
  return (Math.floor(unit / chain) + 1) * chain
}
