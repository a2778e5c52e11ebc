/** The endpoint of a part: its share of the loss is told by (batch, head), and a mean is that of the whole. */
import type { Compilable } from '../../endpoints/endpoint.ts'
import type { RequestProgram } from '../../layers/program-builder.ts'
import type { Program } from '../../program.ts'

interface SquaredError {
  tensors: { partials: number }
  args: { factor: number }
}

/** The step that computes the squared error, where there is one. */
export function squaredError({ stages }: Pick<Program, 'stages'>): SquaredError | undefined {
  const step = stages.flat().find(({ op }) => op === 'squaredErrorLoss')
  return step as unknown as SquaredError | undefined
}

export function partOf(whole: Compilable, lossFactor: number | undefined): Compilable {
  return {
    ...whole,
    *compile(p: RequestProgram, request: unknown) {
      const compiling = whole.compile(p, request)
      if (compiling !== undefined) yield* compiling
      const step = squaredError(p)
      if (step === undefined) return
      if (lossFactor !== undefined) step.args.factor = lossFactor
      p.keep(step.tensors.partials)
    },
  }
}
