/** ∂L/∂weights of attention, [batch, heads, queries, keys], as steps; `ops/attention/weight-gradient.ts` defines it. */

import type { Ref, Step } from '../../../workers/contract.ts'
import * as op from '../../../workers/ops/attention/op.ts'
import type { RequestProgram } from '../program-builder.ts'
import type { Attended } from './variants/variant.ts'

/**
 * The maps' kernel computes ∂L/∂O·Vᵀ: with ∂L/∂O in the place of q and v in that of k. What tells who attends is
 * −∞ in its own masked scores, unless a float mask would be added to them, the entropy's term needs the true scores, or
 * the inputs may be non-finite; then the scores' own map is made too.
 */
export function weightGradient(
  p: RequestProgram,
  attended: Attended,
  gradOutput: Ref,
  scalars: Ref | undefined,
): Ref {
  const { scores, denominator, v } = attended
  const { args } = scores
  const apart = args.maskKind === 'float' || scalars !== undefined || scores.nonFinite !== undefined
  const products = {
    ...scores,
    args: { ...args, scale: 1, softcap: 0, dimK: args.dimV },
    q: gradOutput,
    k: v,
    slopes: undefined,
    distanceBiases: undefined,
  }
  const name = apart ? 'scores' : 'maskedScores'
  const product = attended.maps(p, products, [name])
  const masked = apart ? attended.maps(p, scores, ['maskedScores']) : undefined
  const steps: Step[] = masked === undefined ? [product.step] : [product.step, masked.step]
  p.stage(...steps)
  const gradWeights = product.maps[name] as Ref
  const tensors = {
    products: gradWeights,
    gradWeights,
    denominator,
    scalars,
    maskedScores: masked?.maps.maskedScores,
  }
  const { batch, heads, queries, keys, dropoutP, seedLow, seedHigh } = args
  const shape = { batch, heads, queries, keys, dropoutP, seedLow, seedHigh }
  p.stage(p.step(op.weightGradient, tensors, shape))
  return gradWeights
}
