/**
 * A mistake that kernels make, as a change of what is evaluated: of the request, where one can say it, or of the program. If the
 * candidate is right under it, it is what the candidate has done.
 */
import type { TensorSource } from '../../../formats/tensor.ts'
import type { Alteration } from '../alteration.ts'
import type { CompareRequest } from '../request.ts'

/** A JSON merge patch (RFC 7396). */
export type Patch = { [field: string]: Patch | number | string | boolean | null | readonly number[] }

export interface Hypothesis {
  /** one sentence on what the candidate does */
  says: string
  /** of the body; null where no request says it */
  change: Patch | null
  alteration?: Alteration
  /** it is no mistake of a head alone */
  ofAllHeads?: true
}

/** What hypotheses look at of a body that attends. */
export interface AttentionBody {
  q?: TensorSource
  k?: TensorSource
  v?: TensorSource
  /** of a layer with projections */
  x?: TensorSource
  layout?: string
  cu_seqlens_q?: unknown
  causal?: boolean | string
  window?: { left?: number | null; right?: number | null; align?: string }
  scale?: number
  softcap?: number
  mask?: TensorSource
  alibi?: boolean | TensorSource
  rope?: { interleaved: boolean }
  dropout?: { p: number }
  backward?: object
  [field: string]: unknown
}

/** The ways in which a mistake can be made about this body; none where it cannot. */
export type Hypothesise = (body: AttentionBody, request: CompareRequest) => Hypothesis[]

export function names(request: CompareRequest): string[] {
  return request.candidates.map(({ name }) => name)
}

/** [B, H, N, d]: heads are an axis of their own, before the rows. */
export function headsFirst({ q, layout, cu_seqlens_q }: AttentionBody): boolean {
  return q?.shape.length === 4 && layout !== 'bnhd' && cu_seqlens_q === undefined
}

/** What the scores are multiplied with, where the body says it or its shapes do. */
export function scaleOf({ scale, q }: AttentionBody): number | undefined {
  return scale ?? (q && 1 / Math.sqrt(q.shape[q.shape.length - 1]))
}
