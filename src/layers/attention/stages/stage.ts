/**
 * A stage of attention: its forward steps, and beneath them, in the same file, its backward steps and its tangents. The stages run
 * in the order of the list in `index.ts`, tangents too; backward goes through them from the last to the first.
 */

import type { Ref } from '../../../../workers/contract.ts'
import type { AttentionArgs } from '../../../../workers/ops/attention/op.ts'
import type { QkNormArgs } from '../../../../workers/ops/qk-norm/op.ts'
import type { Geometry, MaskLayout } from '../../geometry.ts'
import type { RequestProgram } from '../../program-builder.ts'
import type { HeadsFirst } from '../heads-first.ts'
import type { Intervals, Places } from '../intervals.ts'
import type { Packed } from '../packed.ts'
import type { RelativeBias } from '../relative-bias.ts'
import type { SegmentRefs } from '../segments.ts'
import type { AttentionNeeds, GradientTerms, OwnGradients, RequestedResults } from '../softmax.ts'
import type { InputTangents, ResultName, ResultTangents } from '../tangents.ts'
import type { AttentionKind } from '../variants/index.ts'
import type { Attended, Gates, VariantForward } from '../variants/variant.ts'

/** cos and sin of the angles, [batches, positions, dims/2] each. */
export interface RopeTable {
  /** 1 where all batch elements turn by the same angles */
  batches: number
  dims: number
  interleaved: boolean
  cos: Ref
  sin: Ref
}

/** The options of a request, compiled once for all layers that attend in the same way. */
export interface AttentionPlan {
  geometry: Geometry
  /** keys of `geometry` that come from the past; they were normalised and rotated when they were new */
  past: number
  /** whether the request has a past, perhaps of length 0 */
  pastGiven: boolean
  args: AttentionArgs
  kind: AttentionKind
  variant: VariantForward
  /** of the variant, where it has any */
  gates?: Gates | undefined
  /** of exact attention, for the comparison; undefined where none is asked for */
  exact?: Intervals
  /** seed of the dropout in `args`, to which a layer adds its own number */
  seed: number
  norm?: Pick<QkNormArgs, 'kind' | 'eps'>
  rope?: { q: RopeTable; k: RopeTable }
  mask?: Ref
  maskLayout?: MaskLayout
  slopes?: Ref
  sinks?: Ref
  relativeBias?: RelativeBias
  places: Places
  intervals: Intervals
  /** only pairs of one segment are attended; undefined where the request has none */
  segments?: SegmentRefs
  /** what rows are that attend to nothing; undefined: zeros */
  emptyRows?: 'nan' | 'uniform' | undefined
  /** query rows of the whole batch that are no padding */
  liveRows: number
  /** where the request has positions before heads */
  headsFirst?: HeadsFirst | undefined
  /** where the request packs sequences; q, k and v stand positions first until the stage of that name */
  packed?: Packed | undefined
}

/** What goes through the stages forward: each replaces what it changes. */
export interface AttentionFlow {
  plan: AttentionPlan
  /** [batch, heads, queries, dimK], [batch, kvHeads, new keys, dimK], [batch, kvHeads, new keys, dimV] */
  q: Ref
  k: Ref
  v: Ref
  /** [dimK]: what normalised queries and keys are multiplied with */
  gainQ?: Ref
  gainK?: Ref
  /** [heads]: a layer's own sinks, where they are no option of all layers */
  sinks?: Ref
  /** keys and values of the past; k and v hold them too behind the stage `past` */
  pastK?: Ref
  pastV?: Ref
  /** what an earlier request has left of keys and values, where the variant takes a state */
  state?: Record<string, Ref> | undefined
  requested: RequestedResults
  /** added to the dropout's seed */
  seedOffset: number
  /** what attention itself gave, once the stage `scores` has run */
  attended?: Attended
}

/** Which gradients are needed. */
export interface GradientNeeds extends Pick<AttentionNeeds, 'own'> {
  q: boolean
  k: boolean
  v: boolean
  gainQ?: boolean
  gainK?: boolean
  mask: boolean
  sinks: boolean
  /** of its table */
  relativeBias?: boolean
  pastK: boolean
  pastV: boolean
}

/** What goes through the stages backward: the gradient of what the flow held, undefined where it is not needed. */
export interface GradientFlow {
  needs: GradientNeeds
  /** ∂L/∂output */
  output: Ref
  /** float64 [2]: the loss and the coefficient of the rows' entropies */
  scalars: Ref | undefined
  /** of the weights and of logsumexp themselves */
  terms: GradientTerms | undefined
  q?: Ref
  k?: Ref
  v?: Ref
  gainQ?: Ref
  gainK?: Ref
  mask?: Ref
  sinks?: Ref
  relativeBias?: Ref
  pastK?: Ref
  pastV?: Ref
  own?: OwnGradients | undefined
}

/** The backward steps of what a stage did. */
export type StageBackward = (p: RequestProgram, gradients: GradientFlow) => void

/**
 * What goes through the stages in forward mode: the tangent of what the flow held, undefined where it does not move. Each stage
 * replaces what it changes.
 */
export interface TangentFlow extends InputTangents {
  wanted: readonly ResultName[]
  /** once the stage `scores` has run */
  results?: ResultTangents
}

/** The steps of a stage's tangents. */
export type StageTangent = (p: RequestProgram, tangents: TangentFlow) => void

/** What a request may ask for of a stage that has run. */
export interface StageSteps {
  backward: StageBackward
  tangent: StageTangent
}

export interface Stage {
  /** runs only where the plan has this; without it, always */
  needs?: 'norm' | 'rope' | 'pastGiven' | 'packed'
  forward(p: RequestProgram, flow: AttentionFlow): StageSteps
}
