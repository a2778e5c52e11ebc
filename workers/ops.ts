/** The table of operations a worker knows, by precision. */

import type { ElementOps, OpName, Ops } from './contract.ts'
import type { KernelSet } from './kernels/kernel-set.ts'
import { referenceKernels } from './kernels/reference/index.ts'
import type { Precision } from './task.ts'
import { decodeTensor } from './text/decode.ts'
import { encodeTensor } from './text/encode.ts'
import type { TextKernels } from './text/text-kernels.ts'

/** What the worker calls: the op's own types are checked where the program is built. */
export type AnyOp = (tensors: object, args: object, from: number, to: number, scratch: number) => unknown

export type Operations = Record<Precision, Record<OpName, AnyOp>>

export function opTable(simd: KernelSet, text: TextKernels): Operations {
  const elements: ElementOps = {
    decodeTensor: (t, a, from, to) => decodeTensor(text, t, a, from, to),
    encodeTensor: (t, a, from, to) => encodeTensor(text, t, a, from, to),
  }
  const table: Record<Precision, Ops> = {
    float64: { ...referenceKernels, ...elements },
    float32: { ...simd, ...elements },
  }
  return table as unknown as Operations
}
