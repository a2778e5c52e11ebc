/** The table of operations a worker knows, by precision. */

import type { Precision } from '../contract.ts'
import type { TextKernels } from '../text/text-kernels.ts'
import type { SimdModule } from '../wasm/simd-module.ts'
import type { AnyTensors } from './define-op.ts'
import { KERNELS } from './index.ts'

/** What the worker calls: the op's own types are checked where the program is built. */
interface Operation {
  run(t: object, a: object, from: number, to: number, scratch: number): unknown
}

/** By the op's name. */
export type Operations = Record<Precision, Record<string, Operation['run']>>

export function opTable(simd: SimdModule, text: TextKernels): Operations {
  const table: Operations = { float64: {}, float32: {} }
  for (const { op, kernel } of KERNELS) {
    const run = (t: AnyTensors, a: object, from: number, to: number) => kernel(t, a, from, to, text)
    table.float64[op.name] = run
    table.float32[op.name] = op.shared ? run : simd.kernel(op)
  }
  return table
}
