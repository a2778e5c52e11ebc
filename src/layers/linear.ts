/** y = x·W + b, and below it its gradients, as steps. */

import type { StepDraft } from '../../workers/contract.ts'
import { linearScratchBytes } from '../../workers/kernels/simd/linear.ts'
import { COLUMN_BLOCK, type LinearArgs, productUnits } from '../../workers/layer-args.ts'
import type { Ref } from '../../workers/task.ts'
import type { ProgramBuilder } from './program-builder.ts'

export type LinearShape = Omit<LinearArgs, 'careful'>

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
  shape: LinearShape,
): { state: LinearState; step: StepDraft } {
  const args = { ...shape, careful: false }
  const y = p.reals(shape.batch * shape.positions * shape.dimOut)
  p.reserveScratch(linearScratchBytes(args))
  const step: StepDraft = {
    op: 'linearForward',
    tensors: { x, weight, bias, residual, y },
    ...{ args, phase: 'compute', chain: 1, bytes: 0, flops: flops(shape) },
    units: productUnits(shape.batch * shape.positions, shape.dimOut),
  }
  return { state: { args, x, weight, bias, y }, step }
}

/** gradX = gradY·Wᵀ + residual. */
export function linearBackwardInput(
  p: ProgramBuilder,
  { args, weight }: LinearState,
  gradY: Ref,
  residual?: Ref,
): { gradX: Ref; step: StepDraft } {
  const gradX = p.reals(args.batch * args.positions * args.dimIn)
  const step: StepDraft = {
    op: 'linearBackwardInput',
    tensors: { gradY, weight, residual, gradX },
    ...{ args, phase: 'compute', chain: 1, bytes: 0, flops: flops(args) },
    units: productUnits(args.batch * args.positions, args.dimIn),
  }
  return { gradX, step }
}

/** gradWeight = xᵀ·gradY and gradBias = Σ_rows gradY, each where wanted. `careful`: see LinearArgs. */
export function linearBackwardParams(
  p: ProgramBuilder,
  { args, x, bias }: LinearState,
  gradY: Ref,
  wanted: { weight: boolean; bias: boolean },
  careful: Ref | undefined,
): { weight?: Ref; bias?: Ref; steps: StepDraft[] } {
  const steps: StepDraft[] = []
  const gradWeight = wanted.weight ? p.reals(args.dimIn * args.dimOut) : undefined
  if (gradWeight !== undefined) {
    steps.push({
      op: 'linearBackwardWeight',
      tensors: { x, gradY, gradWeight },
      ...{ args, careful, phase: 'compute', chain: 1, bytes: 0, flops: flops(args) },
      units: productUnits(args.dimIn, args.dimOut),
    })
  }
  const gradBias = wanted.bias && bias !== undefined ? p.reals(args.dimOut) : undefined
  if (gradBias !== undefined) {
    const { batch, positions, headsOut: heads, dimOut } = args
    steps.push(columnSumsStep(gradY, gradBias, { batch, positions, heads, width: dimOut / heads }))
  }
  return { weight: gradWeight, bias: gradBias, steps }
}

/** y = Σ of x over batch and positions. */
export function columnSumsStep(
  x: Ref,
  y: Ref,
  args: { batch: number; heads: number; positions: number; width: number },
): StepDraft {
  const columns = args.heads * args.width
  return {
    op: 'columnSums',
    tensors: { x, y },
    ...{ args, phase: 'compute', chain: 1, bytes: 0, flops: args.batch * args.positions * columns },
    units: Math.ceil(columns / COLUMN_BLOCK),
  }
}

function flops({ batch, positions, dimIn, dimOut }: LinearShape): number {
  return 2 * batch * positions * dimIn * dimOut
}
