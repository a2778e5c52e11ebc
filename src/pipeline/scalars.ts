import { shortest } from '../../workers/text/print.ts'
import { bufferView } from '../../workers/views.ts'
import type { Placement } from '../engine/placement.ts'
import type { RequestProgram } from '../layers/program-builder.ts'

/** Facts, the loss and other single numbers, rounded to the answer's precision; what JSON cannot hold is a string. */
export function scalars(
  program: RequestProgram,
  { placement }: { placement: Placement },
  memory: WebAssembly.Memory,
): Record<string, unknown> {
  const numbers = Object.fromEntries(
    program.scalars.map(({ name, buffer, index }) => {
      const value = bufferView(memory, placement.buffers[buffer])[index]
      const rounded = program.precision === 'float32' ? Math.fround(value) : value
      if (!Number.isFinite(rounded)) return [name, String(rounded)]
      return [name, program.precision === 'float32' ? shortest(rounded) : rounded]
    }),
  )
  return { ...program.facts, ...numbers }
}
