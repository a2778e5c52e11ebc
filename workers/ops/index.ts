/** What follows from the list of ops. Its types are for both threads; only workers load it, for it brings the kernels along. */
import type { Op, StepOf } from './define-op.ts'
import type { KernelOf } from './implement.ts'
import * as list from './list.ts'

export const OPS = Object.values(list)

type OpOf<F> = F extends { ops: infer O } ? O[keyof O] : never

/** Any op of the list, by its own type. */
export type KnownOp = OpOf<(typeof OPS)[number]>

type Steps<O> = O extends Op ? StepOf<O> : never

/** A step of any op of the list. */
export type ListedStep = Steps<KnownOp>

export const KERNELS: readonly KernelOf[] = OPS.flatMap(({ kernels }) => kernels)
