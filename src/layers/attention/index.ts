/**
 * Attention as every layer uses it: the stages from new queries, keys and values to the output, with the maps that were
 * asked for; and backwards through all of them. A new stage is a file in `stages/` and a line in this list.
 */
import type { Ref } from '../../../workers/contract.ts'
import type { RequestProgram } from '../program-builder.ts'
import type { RequestedResults } from './softmax.ts'
import { past } from './stages/past.ts'
import { qkNorm } from './stages/qk-norm.ts'
import { rope } from './stages/rope.ts'
import { scores } from './stages/scores.ts'
import type {
  AttentionFlow,
  AttentionPlan,
  GradientFlow,
  GradientNeeds,
  Stage,
  StageBackward,
} from './stages/stage.ts'
import type { Attended } from './variants/variant.ts'

export const STAGES: readonly Stage[] = [qkNorm, rope, past, scores]

/** New queries, keys and values [batch, heads, positions, dim], and keys and values of the past. */
export type AttentionInputs = Pick<AttentionFlow, 'q' | 'k' | 'v' | 'pastK' | 'pastV'>

export interface AttentionState {
  plan: AttentionPlan
  attended: Attended
  /** keys, normalised and rotated, and values: the past and the new ones, as the next request takes them for its past */
  presentK: Ref
  presentV: Ref
  /** one for each stage that has run */
  backward: StageBackward[]
}

/** `seedOffset` is added to the dropout's seed. */
export function attentionForward(
  p: RequestProgram,
  plan: AttentionPlan,
  inputs: AttentionInputs,
  requested: RequestedResults,
  seedOffset = 0,
): AttentionState {
  const flow: AttentionFlow = { plan, ...inputs, requested, seedOffset }
  const stages = STAGES.filter(({ needs }) => needs === undefined || plan[needs])
  const backward = stages.map(stage => stage.forward(p, flow))
  return { plan, attended: flow.attended as Attended, presentK: flow.k, presentV: flow.v, backward }
}

/** Differentiates attentionForward. */
export function attentionBackward(
  p: RequestProgram,
  state: AttentionState,
  gradOutput: Ref,
  scalars: Ref | undefined,
  needs: GradientNeeds,
): GradientFlow {
  const gradients: GradientFlow = { needs, output: gradOutput, scalars }
  for (const backward of state.backward.toReversed()) backward(p, gradients)
  return gradients
}
