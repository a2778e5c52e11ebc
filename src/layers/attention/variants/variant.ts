/**
 * A variant of attention: softmax, or what stands in for it. Each is a file beside this one: its schema, what it may not stand
 * beside, and its steps, forward and backward.
 */
import type * as z from 'zod'
import type { Ref, Step } from '../../../../workers/contract.ts'
import type { AttentionArgs } from '../../../../workers/ops/attention/op.ts'
import type { RowMask } from '../../../../workers/ops/intervals/op.ts'
import type { TensorSource } from '../../../formats/tensor.ts'
import type { TensorKinds } from '../../../formats/tensor-fields.ts'
import type { Geometry } from '../../geometry.ts'
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
import type { InputTangents, ResultName, ResultTangents } from '../tangents.ts'

/** What of a request every layer that attends in the same way shares. */
export interface VariantContext {
  args: AttentionArgs
  places: Places
  /** the masks by position, those of the variant included, and what they say of each row */
  masks: RowMask[]
  intervals: Intervals
  /** rows attend to different numbers of keys */
  causal: boolean
  /** of `gatesOf`, where the variant has any */
  gates: Gates | undefined
}

/** What keys have beside themselves and their values. */
export interface Gates {
  /** [batch, keys, kvHeads, decayDims]; decayDims is 1 or dimK */
  decay?: Ref | undefined
  decayDims: number
  /** [batch, keys, betaHeads]; betaHeads is 1 or kvHeads */
  beta?: Ref | undefined
  betaHeads: number
}

/** `named`: the request has the name of the kind alone. */
export interface GatedKind {
  gates?: GateSources | undefined
  named?: true
}

/** What a request may say of gates. */
export type GateSources = { [name in 'decay' | 'beta']?: TensorSource | undefined }

export interface StateTensor {
  /** behind [batch, kvHeads] */
  shape: number[]
  /** in requests and answers of any precision; −∞ is then an element like any other */
  dtype?: 'float64'
}

/** Options that mean nothing beside a variant, and results that it does not have. */
export interface Refused {
  fields: string[]
  returns: string[]
}

/** What attention gave, and the way back. */
export interface Attended extends AttentionResults {
  /** Adds the steps that give what the next request takes for its state, by name. */
  state?(p: RequestProgram): Record<string, Ref>
  backward(
    p: RequestProgram,
    gradOutput: Ref,
    scalars: Ref | undefined,
    needs: AttentionNeeds,
    terms: GradientTerms | undefined,
  ): AttentionGradients
  /** in forward mode; undefined where the variant has none */
  tangent?(p: RequestProgram, given: InputTangents, wanted: readonly ResultName[]): ResultTangents
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
  schema?(tensors: TensorKinds): S
  /** options and results that mean nothing beside it */
  refused?: Refused | ((kind: z.output<S>) => Refused)
  /** it is causal by nature: `causal` need not say so, and may not say otherwise */
  causal?: true
  /** reads and checks the gates of `attention_kind` */
  gatesOf?(p: RequestProgram, kind: z.output<S>, g: Geometry, at: SequencePointers): Gates | undefined
  /** its state by name, behind that many keys; undefined where it has none to hand on */
  state?(kind: z.output<S>, g: Pick<Geometry, 'keys' | 'dimK' | 'dimV'>): Record<string, StateTensor>
  /** why its state has no gradient, and what may not stand beside one */
  plainState?(kind: z.output<S>): { reason: string; without: string[] } | undefined
  /** whether what attended has tangents */
  jvp?: true
  /** masks by position that are all there is to it */
  masks?(kind: z.output<S>): RowMask[]
  /** Adds the steps that need no queries and keys; gives the way of each layer. */
  plan(p: RequestProgram, context: VariantContext, kind: z.output<S>): VariantForward
}

/** Where queries and keys stand in the request. */
export interface SequencePointers {
  queries: string
  keys: string
}

export function defineVariant<S extends z.ZodObject>(variant: Variant<S>): Variant<S> {
  return variant
}

export const MOST_POSITIONS = 2 ** 30
