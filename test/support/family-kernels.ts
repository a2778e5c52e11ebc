/** The kernels of one family of ops, by name: as TypeScript, or as a variant's WebAssembly. */
import type { AnyTensors, Op } from '../../workers/ops/define-op.ts'
import type { Implementation } from '../../workers/ops/implement.ts'
import type { TextKernels } from '../../workers/text/text-kernels.ts'
import { type Run, SimdModule } from '../../workers/wasm/simd-module.ts'
import type { SimdVariant } from '../../workers/wasm/variants.ts'

export type FamilyKernels<O> = { [N in keyof O]: O[N] extends Op ? Run<O[N]> : never }

/** Of ops that read and write no text. */
export function plainKernels<O>({ kernels }: Implementation<O>): FamilyKernels<O> {
  const none = {} as TextKernels
  const entries = kernels.map(({ op, kernel }) => {
    return [op.name, (t: AnyTensors, a: object, from: number, to: number) => kernel(t, a, from, to, none)]
  })
  return Object.fromEntries(entries)
}

export function wasmKernels<O>(
  family: Implementation<O>,
  memory: WebAssembly.Memory,
  variant: SimdVariant,
): FamilyKernels<O> {
  const simd = new SimdModule(memory, variant)
  const entries = family.kernels.flatMap(({ op }) => (op.shared ? [] : [[op.name, simd.kernel(op)]]))
  return { ...plainKernels(family), ...Object.fromEntries(entries) }
}
