/** LayerNorm and RMSNorm, and below them their gradients, as steps. */
import { NORM_ROWS, type NormArgs } from '../../workers/layer-args.ts'
import type { Ref } from '../../workers/task.ts'
import { columnSumsStep } from './linear.ts'
import type { ProgramBuilder } from './program-builder.ts'
import { rowStep } from './row-step.ts'

/** Rough operations per element, for costs: these steps are bound by memory. */
const FORWARD_FLOPS = 8
const BACKWARD_FLOPS = 16

export interface NormState {
  args: NormArgs
  x: Ref
  gamma?: Ref
  beta?: Ref
  y: Ref
}

/** y = x̂ ⊙ gamma + beta for rows of x. */
export function normForward(
  p: ProgramBuilder,
  x: Ref,
  { gamma, beta }: { gamma?: Ref; beta?: Ref },
  args: NormArgs,
): NormState {
  const y = p.reals(args.rows * args.dim)
  p.stage(
    rowStep({ op: 'normForward', tensors: { x, gamma, beta, y }, args }, args.rows, args.dim * FORWARD_FLOPS),
  )
  return { args, x, gamma, beta, y }
}

/** gradX = (∂y/∂x)ᵀ·gradY + residual, and the gradients of gamma and beta where wanted. */
export function normBackward(
  p: ProgramBuilder,
  { args, x, gamma, beta }: NormState,
  gradY: Ref,
  wanted: { gamma: boolean; beta: boolean },
  residual?: Ref,
): { x: Ref; gamma?: Ref; beta?: Ref } {
  const { rows, dim } = args
  const units = Math.ceil(rows / NORM_ROWS)
  const gradX = p.reals(rows * dim)
  const partialGamma = wanted.gamma && gamma !== undefined ? p.reals(units * dim) : undefined
  const partialBeta = wanted.beta && beta !== undefined ? p.reals(units * dim) : undefined
  p.stage(
    rowStep(
      {
        op: 'normBackward',
        tensors: { x, gamma, gradY, residual, gradX, partialGamma, partialBeta },
        args,
      },
      units,
      Math.min(rows, NORM_ROWS) * dim * BACKWARD_FLOPS,
    ),
  )
  const sums = [partialGamma, partialBeta].map(partial => {
    if (partial === undefined) return undefined
    const sum = p.reals(dim)
    return { sum, step: columnSumsStep(partial, sum, { batch: 1, heads: 1, positions: units, width: dim }) }
  })
  p.stage(...sums.flatMap(each => each?.step ?? []))
  return { x: gradX, gamma: sums[0]?.sum, beta: sums[1]?.sum }
}
