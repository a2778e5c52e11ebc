/** What a request compiles to: buffers, and steps over them in stages. Plain data. */
import type { Step, StepDraft } from '../workers/contract.ts'
import type { BufferType, Precision, Ref } from '../workers/task.ts'
import { Problem } from './problem.ts'

export interface BufferSpec {
  type: BufferType
  length: number
  /** written by the main thread before the program starts (small constants: lengths, slopes) */
  data?: ArrayLike<number>
  /** stands elsewhere in the shared memory already (the request's body) */
  at?: number
  /** a part of another buffer of the same type, from its element `start` on */
  within?: { buffer: Ref; start: number }
  /** read after the program's last stage: its memory is not given to others before */
  keep?: boolean
  /** filled by someone else before the program's first stage */
  preloaded?: boolean
}

/** A place in a program at which something is ready; its job may be blocked there before it goes on. */
export interface Barrier {
  /** the stage after whose end it stands */
  stage: number
  /** what is read from here on: their memory is not given to others before the next barrier has been passed */
  buffers: Ref[]
}

export interface Program {
  buffers: BufferSpec[]
  /** the steps of one stage are independent of each other; a stage begins when the one before it has ended */
  stages: Step[][]
  /** in the order of their stages */
  barriers: Barrier[]
  /** work area that each task in flight needs */
  scratchBytes: number
}

export const BYTES: Record<BufferType, number> = { float64: 8, float32: 4, int32: 4, uint8: 1 }

/** Workers count a stage's units in 32-bit words. */
const UNITS_LIMIT = 2 ** 31

export class ProgramBuilder implements Program {
  /** of its steps and buffers, where they name none */
  readonly precision: Precision
  readonly buffers: BufferSpec[] = []
  readonly stages: Step[][] = []
  readonly barriers: Barrier[] = []
  scratchBytes = 0

  constructor(precision: Precision) {
    this.precision = precision
  }

  /** A buffer in the program's own precision. */
  reals(length: number, data?: ArrayLike<number>): Ref {
    return this.buffer({ type: this.precision, length, ...(data && { data }) })
  }

  buffer(spec: BufferSpec): Ref {
    this.buffers.push(spec)
    return this.buffers.length - 1
  }

  /** `length` elements of a buffer from `start` on, as a buffer. */
  part(buffer: Ref, start: number, length: number): Ref {
    return this.buffer({ type: this.buffers[buffer].type, length, within: { buffer, start } })
  }

  /** What is read when the program has run: an answer, or what an answer is written from. */
  keep(buffer: Ref): void {
    const spec = this.buffers[buffer]
    this.buffers[spec.within?.buffer ?? buffer].keep = true
  }

  /** A task needs a work area of at least `bytes` bytes; the reference kernels need none. */
  reserveScratch(bytes: number): void {
    if (this.precision === 'float32')
      this.scratchBytes = Math.max(this.scratchBytes, Math.ceil(bytes / 64) * 64)
  }

  /**
   * Adds a stage of independent steps; steps without units vanish, and so do those whose tensors have no elements. Where an
   * extent is 0 the others cost their sender nothing, and what is left may still have too many units: a 413.
   */
  stage(...steps: StepDraft[]): void {
    const some = steps.filter(step => step.units > 0 && !this.#isEmpty(step))
    if (some.length === 0) return
    let units = 0
    for (const step of some) units += step.units
    if (!(units < UNITS_LIMIT)) {
      const expected = `expected fewer than ${UNITS_LIMIT} units of work in one stage`
      throw new Problem('COMPUTE_TOO_LARGE', `${expected}, got ${units} (${some[0].op})`)
    }
    this.stages.push(some.map(step => this.complete(step)))
  }

  /** Whether all its tensors are without elements, but for constants. */
  #isEmpty({ tensors }: StepDraft): boolean {
    let empty = 0
    for (const ref of Object.values<Ref | undefined>(tensors)) {
      if (ref === undefined || this.buffers[ref].data !== undefined) continue
      if (this.buffers[ref].length > 0) return false
      empty++
    }
    return empty > 0
  }

  protected complete(step: StepDraft): Step {
    return step.precision === undefined ? ({ ...step, precision: this.precision } as Step) : (step as Step)
  }

  /** Everything emitted so far is complete here. */
  barrier(buffers: Ref[]): void {
    this.barriers.push({ stage: this.stages.length - 1, buffers })
  }
}

/** One step over a program's buffers, as a program. */
export function singleStep({ buffers, scratchBytes }: Program, step: Step): Program {
  return { buffers, stages: [[step]], barriers: [], scratchBytes }
}

export function programFlops(program: Program): number {
  let flops = 0
  for (const steps of program.stages) for (const step of steps) flops += step.flops
  return flops
}
