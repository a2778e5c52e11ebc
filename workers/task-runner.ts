/** What a thread needs to run tasks: workers, and the main thread for those that are briefer than the way to a worker. */
import type { RunTask } from './contract.ts'
import { opTable } from './ops/table.ts'
import { runTask } from './run-segment.ts'
import type { TextKernels } from './text/text-kernels.ts'
import { SimdModule } from './wasm/simd-module.ts'
import type { SimdVariant } from './wasm/variants.ts'

/** With kernels of the thread's own, over the memory that all share. */
export function taskRunner(memory: WebAssembly.Memory, variant: SimdVariant, text: TextKernels): RunTask {
  return runTask.bind(undefined, memory, opTable(new SimdModule(memory, variant), text))
}
