/** A family's ops together with their TypeScript kernels: what a family's `index.ts` makes, and `ops/index.ts` lists. */
import type { TextKernels } from '../text/text-kernels.ts'
import { type AnyTensors, type Args, type Family, isOp, type Op, type Tensors } from './define-op.ts'

/**
 * Works on a range of units [from, to) and writes only what those units own, so that any division of the range into tasks
 * gives the same bits. Output memory is uninitialised: a kernel writes every element its units own. `text` is for ops that
 * read or write numbers as text; they return the fault they find, if any.
 */
export type Kernel<O extends Op> = (
  t: Tensors<O>,
  a: Args<O>,
  from: number,
  to: number,
  text: TextKernels,
) => unknown

/** A kernel whose op's types were checked where it was listed, and are checked again where a step is made. */
export interface KernelOf {
  op: Op
  kernel(t: AnyTensors, a: object, from: number, to: number, text: TextKernels): unknown
}

/** Those of a module's exports that are ops. */
type OpsIn<M> = { [K in keyof M as M[K] extends Op ? K : never]: M[K] extends Op ? M[K] : never }
type KernelsFor<M> = { [K in keyof OpsIn<M>]: Kernel<OpsIn<M>[K]> }

export interface Implementation<O> {
  family: Family
  ops: O
  kernels: KernelOf[]
  /** the numbers that `op.ts` exports: AssemblyScript kernels know them by the same names */
  constants: [name: string, value: number][]
}

/** `exports` of `op.ts`, and a kernel for each op among them: `reference.ts`, or `kernel.ts` where both precisions share it. */
export function implement<M extends object>(exports: M, kernels: KernelsFor<M>): Implementation<OpsIn<M>>
export function implement(
  exports: object,
  kernels: Record<string, KernelOf['kernel']>,
): Implementation<object> {
  const entries = Object.entries(exports)
  const ops: [string, Op][] = entries.filter(([, value]) => isOp(value))
  return {
    family: ops[0][1].family,
    ops: Object.fromEntries(ops),
    kernels: ops.map(([name, op]) => ({ op, kernel: kernels[name] })),
    constants: entries.filter(([, value]) => typeof value === 'number'),
  }
}
