/** What a request compiles to: buffers, and steps over them in stages. Plain data. */
import type { Step } from '../../workers/program.ts'
import type { BufferType, Precision, Ref } from '../../workers/task.ts'

export interface BufferSpec {
  type: BufferType
  length: number
  /** written by the main thread before the program starts (small constants: lengths, slopes) */
  data?: ArrayLike<number>
  /** stands elsewhere in the shared memory already (the request's body) */
  at?: number
}

export interface Program {
  precision: Precision
  buffers: BufferSpec[]
  /** the steps of one stage are independent of each other; a stage begins when the one before it has ended */
  stages: Step[][]
  /** work area that each task in flight needs */
  scratchBytes: number
}

export const BYTES: Record<BufferType, number> = { float64: 8, float32: 4, int32: 4, uint8: 1 }

export class ProgramBuilder implements Program {
  readonly precision: Precision
  readonly buffers: BufferSpec[] = []
  readonly stages: Step[][] = []
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

  /** Adds a stage of independent steps; steps without units vanish. */
  stage(...steps: Step[]): void {
    const some = steps.filter(step => step.units > 0)
    if (some.length > 0) this.stages.push(some)
  }
}

export function programFlops(program: Program): number {
  return sum(program.stages.flat().map(step => step.flops))
}

/** Bytes of the program's own buffers, each rounded up to the arena's alignment. */
export function programBytes(program: Program): number {
  return sum(program.buffers.map(bufferBytes))
}

export function bufferBytes(buffer: BufferSpec): number {
  return buffer.at === undefined ? Math.ceil((buffer.length * BYTES[buffer.type]) / 64) * 64 : 0
}

function sum(numbers: number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}
