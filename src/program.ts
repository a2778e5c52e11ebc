/** What a request compiles to: buffers, and steps over them in stages. Plain data. */
import {
  type ArgSpecs,
  type ArgsOf,
  CALL_BYTES,
  type Op,
  type RefsOf,
  type StepOf,
  scratchBytes,
  type TensorSpecs,
} from '../workers/ops/define-op.ts'
import type { Step, StepDraft } from '../workers/program.ts'
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
  early?: boolean
}

/** A place in a program at which something is ready: its job is asked there whether it may go on. */
export interface Mark {
  /** the stage after whose end it stands */
  stage: number
  /** what is read from here on: their memory is not given to others before the next mark has been passed */
  buffers: Ref[]
}

export interface Program {
  buffers: BufferSpec[]
  /** the steps of one stage are independent of each other; a stage begins when the one before it has ended */
  stages: Step[][]
  /** in the order of their stages */
  marks: Mark[]
  /** work area that each task in flight needs */
  scratchBytes: number
}

export const BYTES: Record<BufferType, number> = { float64: 8, float32: 4, int32: 4, uint8: 1 }

/** What a step may be told beside its tensors and arguments. */
export interface StepOptions {
  /** where inputs say whether they hold non-finite values */
  nonFinite?: Ref | undefined
  /** pairs that are attended, over the whole batch, for one head: attention's cost */
  area?: number
  /** of a step that does only a part of the op's work */
  units?: number
  precision?: Precision
}

export class ProgramBuilder implements Program {
  /** of its steps and buffers, where they name none */
  readonly precision: Precision
  readonly buffers: BufferSpec[] = []
  readonly stages: Step[][] = []
  readonly marks: Mark[] = []
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

  /** A task needs a work area of so many bytes; the reference kernels need none. */
  reserveScratch(bytes: number): void {
    if (this.precision === 'float32') this.#reserve(bytes)
  }

  #reserve(bytes: number): void {
    this.scratchBytes = Math.max(this.scratchBytes, Math.ceil(bytes / 64) * 64)
  }

  /** A step of `op`, which says everything else about it. It is the caller's to put into a stage. */
  step<N extends string, T extends TensorSpecs, A extends ArgSpecs>(
    op: Op<N, T, A>,
    tensors: RefsOf<T>,
    args: ArgsOf<A>,
    { nonFinite, area = 0, units = op.units(args), precision = this.precision }: StepOptions = {},
  ): StepOf<Op<N, T, A>> {
    const { flops = 0, bytes = 0 } = op.cost(args, { units, tensors, area })
    if (precision === 'float32' && !op.shared) this.#reserve(scratchBytes(op, args))
    return {
      op: op.name,
      tensors,
      args,
      precision,
      phase: op.phase ?? 'compute',
      nonFinite,
      units,
      chain: op.chain?.(args) ?? 1,
      group: op.group?.(args),
      flops,
      bytes,
    }
  }

  /** Adds a stage of independent steps; steps without units vanish. */
  stage(...steps: StepDraft[]): void {
    const some = steps.filter(step => step.units > 0).map(step => this.complete(step))
    if (some.length > 0) this.stages.push(some)
  }

  protected complete(step: StepDraft): Step {
    if (step.precision !== undefined) return step as Step
    // a step that was not made by `step`, whose op may need room for the words of a call
    this.reserveScratch(CALL_BYTES)
    return { ...step, precision: this.precision } as Step
  }

  /** Everything emitted so far is complete here. */
  mark(buffers: Ref[]): void {
    this.marks.push({ stage: this.stages.length - 1, buffers })
  }
}

/** One step over a program's buffers, as a program. */
export function alone({ buffers, scratchBytes }: Program, step: Step): Program {
  return { buffers, stages: [[step]], marks: [], scratchBytes }
}

export function programFlops(program: Program): number {
  return program.stages.flat().reduce((total, step) => total + step.flops, 0)
}
