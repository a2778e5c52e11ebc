/** What a worker found in the client's data, as the 400 that names it. */
import type { JobReport } from '../engine/job.ts'
import { elementPointer, indices } from '../formats/tensor.ts'
import type { RequestProgram } from '../layers/program-builder.ts'
import { fieldProblem, type Problem } from '../problem.ts'

export function dataProblem(
  { fault, step }: NonNullable<JobReport['fault']>,
  program: RequestProgram,
): Problem {
  const input = program.inputOf(step)
  if (input === undefined) throw new Error(`a fault of a step that reads no input: ${step.op}`)
  const { pointer, source } = input
  const below = fault.index < 0 ? '' : elementPointer(source, fault.index)
  const at =
    below === '' && fault.index >= 0 ? ` at index [${indices(source.shape, fault.index).join(', ')}]` : ''
  const expected = {
    non_finite: 'expected finite numbers (or "non_finite":"propagate")',
    overflow: `expected numbers that ${source.dtype === 'float64' ? program.precision : source.dtype} can hold`,
    bad_element:
      source.dtype === 'bool'
        ? 'expected true or false (or bytes 0 and 1)'
        : 'expected an integer from −2147483648 to 2147483647',
    bad_base64: 'expected base64',
  }[fault.kind]
  const code = fault.kind === 'non_finite' || fault.kind === 'overflow' ? 'NON_FINITE' : 'INVALID_TENSOR'
  return fieldProblem(code, pointer + below, `${expected}, got ${fault.found}${at}`)
}
