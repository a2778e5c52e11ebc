/** LayerNorm and RMSNorm, and below them their gradients, as steps. */

import type { Ref } from '../../workers/contract.ts'
import { columnSums } from '../../workers/ops/elementwise/op.ts'
import {
  type NormArgs,
  normBackward as normBackwardOp,
  normForward as normForwardOp,
} from '../../workers/ops/norm/op.ts'
import type { ProgramBuilder } from './program-builder.ts'

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
  p.stage(p.step(normForwardOp, { x, gamma, beta, y }, args))
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
  const units = normBackwardOp.units(args)
  const gradX = p.reals(rows * dim)
  const partialGamma = wanted.gamma && gamma !== undefined ? p.reals(units * dim) : undefined
  const partialBeta = wanted.beta && beta !== undefined ? p.reals(units * dim) : undefined
  p.stage(p.step(normBackwardOp, { x, gamma, gradY, residual, gradX, partialGamma, partialBeta }, args))
  const sums = [partialGamma, partialBeta].map(partial => {
    if (partial === undefined) return undefined
    const sum = p.reals(dim)
    const step = p.step(
      columnSums,
      { x: partial, y: sum },
      { batch: 1, heads: 1, positions: units, width: dim },
    )
    return { sum, step }
  })
  p.stage(...sums.flatMap(each => each?.step ?? []))
  return { x: gradX, gamma: sums[0]?.sum, beta: sums[1]?.sum }
}
