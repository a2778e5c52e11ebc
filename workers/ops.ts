/** The table of operations a worker knows, by precision. */
import { decodeTensor } from './elements/decode.ts'
import { encodeTensor } from './elements/encode.ts'
import type { KernelSet } from './kernels/kernel-set.ts'
import { referenceKernels } from './kernels/reference/index.ts'
import type { OpName, Ops } from './program.ts'
import type { Precision } from './task.ts'

/** What the worker calls: the op's own types are checked where the program is built. */
export type AnyOp = (tensors: object, args: object, from: number, to: number, scratch: number) => unknown

export function opTable(simd: KernelSet): Record<Precision, Record<OpName, AnyOp>> {
  const elements = { decodeTensor, encodeTensor }
  const table: Record<Precision, Ops> = {
    float64: { ...referenceKernels, ...elements },
    float32: { ...simd, ...elements },
  }
  return table as unknown as Record<Precision, Record<OpName, AnyOp>>
}
