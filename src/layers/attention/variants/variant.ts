/**
 * A variant of attention: softmax, or what stands in for it. Each is a file beside this one: its schema, what it may not stand
 * beside, and its steps, forward and backward.
 */
import type * as z from 'zod'
import type { Ref, Step } from '../../../../workers/contract.ts'
import type { AttentionArgs } from '../../../../workers/ops/attention/op.ts'
import type { RowMask } from '../../../../workers/ops/intervals/op.ts'
import type { RequestProgram } from '../../program-builder.ts'
import type { Intervals, Places } from '../intervals.ts'
import type {
  AttentionGradients,
  AttentionNeeds,
  AttentionResults,
  GradientTerms,
  MapName,
  Maps,
  RequestedResults,
  Scores,
} from '../softmax.ts'

/** What of a request every layer that attends in the same way shares. */
export interface VariantContext {
  args: AttentionArgs
  places: Places
  /** the masks by position, those of the variant included, and what they say of each row */
  masks: RowMask[]
  intervals: Intervals
  /** rows attend to different numbers of keys */
  causal: boolean
}

/** What attention gave, and the way back. */
export interface Attended extends AttentionResults {
  backward(
    p: RequestProgram,
    gradOutput: Ref,
    scalars: Ref | undefined,
    needs: AttentionNeeds,
    terms: GradientTerms | undefined,
  ): AttentionGradients
  /** maps over the pairs that were attended, but of these scores */
  maps(p: RequestProgram, scores: Scores, names: readonly MapName[]): { maps: Maps; step: Step }
}

export type VariantForward = (
  p: RequestProgram,
  scores: Scores,
  v: Ref,
  requested: RequestedResults,
) => Attended

export interface Variant<S extends z.ZodObject = z.ZodObject> {
  /** of the object form of `attention_kind`; undefined where the name says it all */
  schema?: S
  /** its forward pass, and all that looks at the results, take tensors with positions before heads */
  positionsFirst?: boolean
  /** options and results that mean nothing beside it */
  refused?: { fields: string[]; returns: string[] }
  /** masks by position that are all there is to it */
  masks?(kind: z.output<S>): RowMask[]
  /** Adds the steps that need no queries and keys; gives the way of each layer. */
  plan(p: RequestProgram, context: VariantContext, kind: z.output<S>): VariantForward
}

export function defineVariant<S extends z.ZodObject>(variant: Variant<S>): Variant<S> {
  return variant
}

export const MOST_POSITIONS = 2 ** 30
