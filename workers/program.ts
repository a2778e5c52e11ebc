/**
 * Programs as data: the steps a request compiles to, the tasks they are cut into, and what comes back.
 * Both threads know these types and nothing of each other.
 */
import type { KernelSet } from './kernels/kernel-set.ts'
import type { BufferPlace, DecodeArgs, EncodeArgs, Fault, Precision, Ref } from './task.ts'

/** Reading and writing the elements of tensors; the same for both precisions. */
export interface ElementOps {
  decodeTensor(
    t: { body: Uint8Array; into: Float32Array | Float64Array | Uint8Array | Int32Array; seen?: Int32Array },
    a: DecodeArgs,
    from: number,
    to: number,
  ): Fault | undefined
  encodeTensor(
    t: { values: Float32Array | Float64Array | Uint8Array; into: Uint8Array; lengths: Int32Array },
    a: EncodeArgs,
    from: number,
    to: number,
  ): void
}

/** The closed list of operations: name → kernel signature. */
export type Ops = KernelSet & ElementOps
export type OpName = keyof Ops

type Refs<T> = { [K in keyof T]: Ref }

/** Which part of a request's life a step belongs to, for `Server-Timing`. */
export type Phase = 'decode' | 'compute' | 'encode'

interface StepOf<O extends OpName> {
  op: O
  /** index of the program's buffer for each tensor of the op */
  tensors: Refs<Parameters<Ops[O]>[0]>
  args: Parameters<Ops[O]>[1]
  phase: Phase
  /** an int32 buffer whose first element says, when the step starts, whether inputs hold non-finite values */
  careful?: Ref
}

interface Split {
  /** the step's range is [0, units) */
  units: number
  /** units in a row that must run one after the other (they accumulate); 1 = all independent */
  chain: number
  /** floating-point operations of the whole step */
  flops: number
  /** bytes of text or memory the step mostly spends its time on, where that is not arithmetic */
  bytes: number
}

export type Step = { [O in OpName]: StepOf<O> & Split }[OpName]

/** A step and the part of its range that a task runs. */
export type StepCall = { [O in OpName]: StepOf<O> & { from: number; to: number } }[OpName]

/**
 * What a task's ticket says, so that after a worker's death lost work can be told from work that only waited behind it,
 * or was done and its message not yet read. A task that found a fault changed nothing that matters: it counts as waiting.
 */
export const TICKET = { waiting: 0, running: 1, done: 2 } as const

export interface Task {
  precision: Precision
  buffers: BufferPlace[]
  /** byte offset of the task's own work area */
  scratch: number
  /** byte offset of an int32 in which the worker notes how far it is (TICKET) */
  ticket: number
  steps: StepCall[]
}

/** [start, end] in milliseconds since the epoch, where the task had steps of that phase. */
export type Spans = Partial<Record<Phase, [number, number]>>

export type TaskResult =
  | { ok: true; spans: Spans }
  /** a step read something in the client's data that cannot be */
  | { ok: false; fault: Fault; step: number; spans: Spans }
  /** a kernel threw or trapped */
  | { ok: false; crash: string; spans: Spans }
