/**
 * Programs as data: the steps a request compiles to, the tasks they are cut into, and what comes back.
 * Both threads know these types and nothing of each other.
 */
import type { MessagePort } from 'node:worker_threads'
import type { ListedStep } from './ops/index.ts'
import type { BufferType, Fault, Phase } from './step-types.ts'

export * from './step-types.ts'

/** Their views. One that was made before the memory grew does not reach what came later: views are made anew for each task. */
export const VIEWS: Record<
  BufferType,
  new (
    memory: ArrayBufferLike,
    offset: number,
    length: number,
  ) => BufferView
> = {
  float64: Float64Array,
  float32: Float32Array,
  int32: Int32Array,
  uint8: Uint8Array,
}
export type BufferView = Float64Array | Float32Array | Int32Array | Uint8Array

/** A buffer: where it stands in the shared memory (byte offset, aligned to 64) and how many elements it has. */
export interface BufferPlace {
  type: BufferType
  offset: number
  length: number
}

/** A step of any op. */
export type Step = ListedStep

export type OpName = Step['op']

/** A step as a worker gets it; `nanoseconds`: the estimated time of one unit on this machine. */
export type StepCall = Step extends infer S ? (S extends Step ? Omit<S, 'flops'> : never) : never

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
  /** byte offset of two int32: the task's state, and how often its worker has polled */
  state: number
  /** byte offsets of the wake words of other workers that this one has to wake before it begins */
  wakes: number[]
  remainder?: Remainder
}

/** [start, end] in milliseconds since the epoch, where the task had steps of that phase. */
export type Spans = Partial<Record<Phase, [number, number]>>

/** Time that units of one of a segment's steps took (it is counted over its stages). */
export interface Measured {
  step: number
  units: number
  seconds: number
}

/** What a worker did at a segment. */
export interface Work {
  spans: Spans
  /** of the steps that it was at for long enough that this says something */
  measured: Measured[]
}

export type TaskResult =
  /** nothing was left to be claimed, or the worker was preempted and may have left a remainder */
  | ({ ok: true; remainder?: Remainder } & Work)
  /** a step of the segment (counted over its stages) read something in the client's data that cannot be */
  | ({ ok: false; fault: Fault; step: number } & Work)
  /** a kernel threw or trapped */
  | ({ ok: false; crash: string } & Work)

/** Runs a task to its end, on the thread that calls it. */
export type RunTask = (task: Task) => TaskResult

/** How a worker is reached: messages come by the port, and its wake word (an int32 at this byte offset) is changed to wake it. */
export interface Slot {
  port: MessagePort
  wakeWord: number
}
