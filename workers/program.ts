/**
 * Programs as data: the steps a request compiles to, the tasks they are cut into, and what comes back.
 * Both threads know these types and nothing of each other.
 */
import type { MessagePort } from 'node:worker_threads'
import type { Portion, Split } from './claim-table.ts'
import type { KernelSet } from './kernels/kernel-set.ts'
import type { Cost } from './ops/define-op.ts'
import type { ListedStep } from './ops/index.ts'
import type { BufferPlace, Fault, Phase, Precision, Ref } from './task.ts'

type Refs<T> = { [K in keyof T]: Ref }

/** A step of an op that is not in the list of `ops/` yet: its interface is a method of KernelSet. */
interface OtherStep<O extends keyof KernelSet> extends Cost {
  op: O
  tensors: Refs<Parameters<KernelSet[O]>[0]>
  args: Parameters<KernelSet[O]>[1]
  precision: Precision
  phase: Phase
  nonFinite?: Ref | undefined
}

export type Step = ListedStep | { [O in keyof KernelSet]: OtherStep<O> & Split }[keyof KernelSet]

export type OpName = Step['op']

/** A step whose precision is the program's own. */
export type StepDraft = Step extends infer S
  ? S extends Step
    ? Omit<S, 'precision'> & { precision?: Precision }
    : never
  : never

/** A step as a worker gets it; `flops` of one unit. */
export type StepCall = Step extends infer S ? (S extends Step ? Omit<S, 'bytes'> & Portion : never) : never

/** Units of a leg's step that were claimed and not done: whoever is at the leg next has to do them first. */
export interface Rest {
  stage: number
  step: number
  from: number
  to: number
}

/**
 * What a task's ticket says, so that after a worker's death lost work can be told from work that only waited behind it, or
 * was done (or refused, for a fault in the client's data) and its message not yet read.
 */
export const TICKET = { waiting: 0, running: 1, done: 2, refused: 3 } as const

/** A place at a leg for one worker: the leg is a run of stages of a program, and a crew of workers goes through it together. */
export interface Task {
  buffers: BufferPlace[]
  stages: StepCall[][]
  /** so many workers may be at the leg */
  crew: number
  /** byte offset of the leg's board */
  board: number
  /** byte offset of an int32 that says whether to hurry: whether claims and portions are to be small */
  hurry: number
  /** byte offset of the task's own work area */
  scratch: number
  /** byte offset of the task's ticket, an int32 */
  ticket: number
  /** byte offsets of the bells of other workers that this one has to ring, before it begins */
  ring: number[]
  rest?: Rest
}

/** [start, end] in milliseconds since the epoch, where the task had steps of that phase. */
export type Spans = Partial<Record<Phase, [number, number]>>

/** What a worker did at a leg. */
export interface Work {
  spans: Spans
  /** floating-point operations, and the seconds they took, of each precision */
  speed: Partial<Record<Precision, { flops: number; seconds: number }>>
}

export type TaskResult =
  /** nothing was left to be claimed, or the worker was wanted elsewhere and may have left a rest */
  | ({ ok: true; rest?: Rest } & Work)
  /** a step of the leg (counted over its stages) read something in the client's data that cannot be */
  | ({ ok: false; fault: Fault; step: number } & Work)
  /** a kernel threw or trapped */
  | ({ ok: false; crash: string } & Work)

/** How a worker is reached: messages come by the port, and to wake it the bell (an int32 at this byte offset) is rung. */
export interface Seat {
  port: MessagePort
  bell: number
}

/** Wakes whoever waits at this bell. */
export function ring(memory: WebAssembly.Memory, bell: number): void {
  const word = new Int32Array(memory.buffer, bell, 1)
  Atomics.add(word, 0, 1)
  Atomics.notify(word, 0)
}
