/** The list of ops, a line a family, and what follows from it. Only workers load it: it brings the kernels along. */

import { activation } from './activation/index.ts'
import type { Op, StepOf } from './define-op.ts'
import { elementwise } from './elementwise/index.ts'
import type { KernelOf } from './implement.ts'
import { initialise } from './initialise/index.ts'
import { intervals } from './intervals/index.ts'
import { linear } from './linear/index.ts'
import { loss } from './loss/index.ts'
import { lsh } from './lsh/index.ts'
import { maps } from './maps/index.ts'
import { norm } from './norm/index.ts'
import { outputError } from './output-error/index.ts'
import { passes } from './passes/index.ts'
import { qkNorm } from './qk-norm/index.ts'
import { rope } from './rope/index.ts'
import { tables } from './tables/index.ts'
import { text } from './text/index.ts'

export const OPS = [
  activation,
  elementwise,
  initialise,
  intervals,
  linear,
  loss,
  lsh,
  maps,
  norm,
  outputError,
  passes,
  qkNorm,
  rope,
  tables,
  text,
] as const

type OpOf<F> = F extends { ops: infer O } ? O[keyof O] : never

/** Any op of the list, by its own type. */
export type KnownOp = OpOf<(typeof OPS)[number]>

type Steps<O> = O extends Op ? StepOf<O> : never

/** A step of any op of the list. */
export type ListedStep = Steps<KnownOp>

export const KERNELS: readonly KernelOf[] = OPS.flatMap(({ kernels }) => kernels)
