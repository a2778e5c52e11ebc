/**
 * Programs as data: the steps a request compiles to, the tasks they are cut into, and what comes back.
 * Both threads know these types and nothing of each other.
 */
import type { MessagePort } from 'node:worker_threads'
import type { Grain, Split } from './claim-table.ts'
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
  /** which kernels run it */
  precision: Precision
  phase: Phase
  /** an int32 buffer whose first element says, when the step starts, whether inputs hold non-finite values */
  careful?: Ref
}

interface Cost {
  /** floating-point operations of the whole step */
  flops: number
  /** bytes of text or memory the step mostly spends its time on, where that is not arithmetic */
  bytes: number
}

export type Step = { [O in OpName]: StepOf<O> & Split & Cost }[OpName]

/** A step whose precision is the program's own. */
export type StepDraft = Step extends infer S
  ? S extends Step
    ? Omit<S, 'precision'> & { precision?: Precision }
    : never
  : never

/** A step as a worker gets it; `flops` of one unit. */
export type StepCall = { [O in OpName]: StepOf<O> & Split & Grain & { flops: number } }[OpName]

/** Units of a segment's step that were claimed and not done: the next worker at the segment does them first. */
export interface Remainder {
  stage: number
  step: number
  from: number
  to: number
}

/**
 * How far a task is. After a worker's death, lost work can be told by it from work that only waited behind it, or that was
 * done (or faulted, for what stands in the client's data) and its message not yet read.
 */
export const TASK_STATE = { queued: 0, running: 1, done: 2, faulted: 3 } as const

/** One worker's place at a segment, which is a run of stages of a program that a team of workers goes through together. */
export interface Task {
  buffers: BufferPlace[]
  stages: StepCall[][]
  /** the most workers at the segment */
  team: number
  /** byte offset of the segment's claim table */
  claimTable: number
  /** byte offset of an int32 that is not 0 in low-latency mode */
  lowLatency: number
  /** byte offset of the task's own work area */
  scratch: number
  /** byte offset of the task's state, an int32 */
  state: number
  /** byte offsets of the wake words of other workers that this one has to wake before it begins */
  wakes: number[]
  remainder?: Remainder
}

/** [start, end] in milliseconds since the epoch, where the task had steps of that phase. */
export type Spans = Partial<Record<Phase, [number, number]>>

/** What a worker did at a segment. */
export interface Work {
  spans: Spans
  /** floating-point operations, and the seconds they took, of each precision */
  speed: Partial<Record<Precision, { flops: number; seconds: number }>>
}

export type TaskResult =
  /** nothing was left to be claimed, or the worker was preempted and may have left a remainder */
  | ({ ok: true; remainder?: Remainder } & Work)
  /** a step of the segment (counted over its stages) read something in the client's data that cannot be */
  | ({ ok: false; fault: Fault; step: number } & Work)
  /** a kernel threw or trapped */
  | ({ ok: false; crash: string } & Work)

/** How a worker is reached: messages come by the port, and its wake word (an int32 at this byte offset) is changed to wake it. */
export interface Slot {
  port: MessagePort
  wakeWord: number
}

/** Wakes the worker that waits at this word. */
export function wake(memory: WebAssembly.Memory, wakeWord: number): void {
  const word = new Int32Array(memory.buffer, wakeWord, 1)
  Atomics.add(word, 0, 1)
  Atomics.notify(word, 0)
}
