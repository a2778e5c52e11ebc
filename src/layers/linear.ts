/** y = x·W + b, and below it its gradients, as steps. */
import type { Ref, Step } from '../../workers/contract.ts'
import { columnSums } from '../../workers/ops/elementwise/op.ts'
import {
  type LinearArgs,
  linearBackwardInput as linearBackwardInputOp,
  linearBackwardWeight as linearBackwardWeightOp,
  linearForward as linearForwardOp,
} from '../../workers/ops/linear/op.ts'

import type { ProgramBuilder } from './program-builder.ts'

/** What the backward steps read again. */
export interface LinearState {
  args: LinearArgs
  x: Ref
  weight: Ref
  bias?: Ref
  y: Ref
}

export interface Linear {
  x: Ref
  weight: Ref
  bias?: Ref
  /** added to the product, laid out like y */
  residual?: Ref
}

/** y = x·W + b + residual. The step is the caller's to put into a stage. */
export function linearForward(
  p: ProgramBuilder,
  { x, weight, bias, residual }: Linear,
  args: LinearArgs,
): { state: LinearState; step: Step } {
  const y = p.reals(args.batch * args.positions * args.dimOut)
  const step = p.step(linearForwardOp, { x, weight, bias, residual, y }, args)
  return { state: { args, x, weight, bias, y }, step }
}

/** gradX = gradY·Wᵀ + residual. */
export function linearBackwardInput(
  p: ProgramBuilder,
  { args, weight }: LinearState,
  gradY: Ref,
  residual?: Ref,
): { gradX: Ref; step: Step } {
  const gradX = p.reals(args.batch * args.positions * args.dimIn)
  return { gradX, step: p.step(linearBackwardInputOp, { gradY, weight, residual, gradX }, args) }
}

/** gradWeight = xᵀ·gradY and gradBias = Σ_rows gradY, each where wanted. `nonFinite`: see LinearArgs. */
export function linearBackwardParams(
  p: ProgramBuilder,
  { args, x, bias }: LinearState,
  gradY: Ref,
  wanted: { weight: boolean; bias: boolean },
  nonFinite: Ref | undefined,
): { weight?: Ref; bias?: Ref; steps: Step[] } {
  const steps: Step[] = []
  const gradWeight = wanted.weight ? p.reals(args.dimIn * args.dimOut) : undefined
  if (gradWeight !== undefined) {
    steps.push(p.step(linearBackwardWeightOp, { x, gradY, gradWeight }, args, { nonFinite }))
  }
  const gradBias = wanted.bias && bias !== undefined ? p.reals(args.dimOut) : undefined
  if (gradBias !== undefined) {
    const { batch, positions, headsOut: heads, dimOut } = args
    const split = { batch, positions, heads, width: dimOut / heads }
    steps.push(p.step(columnSums, { x: gradY, y: gradBias }, split))
  }
  return { weight: gradWeight, bias: gradBias, steps }
}
