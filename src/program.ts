/** What a request compiles to: buffers, and steps over them in stages. Plain data. */
import type { BufferType, Ref, Step } from '../workers/contract.ts'

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
  /** filled from outside before the program's first stage */
  preloaded?: boolean
}

/** A place in a program at which something is ready; its job may be blocked there before it goes on. */
export interface Barrier {
  /** the stage after whose end it stands */
  stage: number
  /** what is read from here on: their memory is not given to others before the next barrier has been passed */
  buffers: Ref[]
  /**
   * The program goes on at stage `to` where the number in the int32 buffer `id` is one of `among`. What is read at such a barrier
   * must have been read when it is passed.
   */
  skip?: Skip | undefined
}

export interface Skip {
  to: number
  id: Ref
  among: readonly number[]
}

export interface Program {
  buffers: BufferSpec[]
  /** the steps of one stage are independent of each other; a stage begins when the one before it has ended */
  stages: Step[][]
  /** in the order of their stages */
  barriers: Barrier[]
  /** work area that each task in flight needs */
  scratchBytes: number
  /** steps over its buffers that follow, as programs of their own, when it has run: known for their cost */
  later?: Step[]
}

export const BYTES: Record<BufferType, number> = { float64: 8, float32: 4, int32: 4, uint8: 1 }

/** One step over a program's buffers, as a program. */
export function singleStep({ buffers, scratchBytes }: Program, step: Step): Program {
  return { buffers, stages: [[step]], barriers: [], scratchBytes }
}
