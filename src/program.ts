/** What a request compiles to: buffers, and steps over them in stages. Plain data. */
import type { Step, StepDraft } from '../workers/contract.ts'
import type { BufferType, Precision, Ref } from '../workers/task.ts'

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

  addBuffers(specs: BufferSpec[]): Ref[] {
    const first = this.buffers.length
    this.buffers.push(...specs)
    return specs.map((_, index) => first + index)
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

  /** Adds a stage of independent steps; steps without units vanish. */
  stage(...steps: StepDraft[]): void {
    const some = steps.filter(step => step.units > 0).map(step => this.complete(step))
    if (some.length > 0) this.stages.push(some)
  }

  protected complete(step: StepDraft): Step {
    // one that is complete stays the same object: it may be known by it
    return (step.precision === undefined ? { ...step, precision: this.precision } : step) as Step
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
