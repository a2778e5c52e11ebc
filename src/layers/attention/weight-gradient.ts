/** ∂L/∂weights of attention, [batch, heads, queries, keys], as steps; `elementwise/weight-gradient.ts` defines it. */
import { scratchBytes } from '../../../workers/kernels/simd/scratch.ts'
import type { StepDraft } from '../../../workers/program.ts'
import type { Ref } from '../../../workers/task.ts'
import type { RequestProgram } from '../program-builder.ts'
import { rowStep } from '../row-step.ts'
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
  const { scores, logsumexp, v } = attended
  const { args } = scores
  const apart = args.maskKind === 'float' || scalars !== undefined || scores.careful !== undefined
  const products = {
    ...scores,
    args: { ...args, scale: 1, softcap: 0, dimK: args.dimV },
    q: gradOutput,
    k: v,
    slopes: undefined,
  }
  p.reserveScratch(scratchBytes(args.dimV, args.dimV))
  p.reserveScratch(scratchBytes(args.dimK, args.dimV))
  const name = apart ? 'scores' : 'maskedScores'
  const product = attended.maps(p, products, [name])
  const masked = apart ? attended.maps(p, scores, ['maskedScores']) : undefined
  const steps: StepDraft[] = masked === undefined ? [product.step] : [product.step, masked.step]
  p.stage(...steps)
  const gradWeights = product.maps[name] as Ref
  const tensors = {
    products: gradWeights,
    gradWeights,
    logsumexp,
    scalars,
    maskedScores: masked?.maps.maskedScores,
  }
  const rows = args.batch * args.heads * args.queries
  p.stage(rowStep({ op: 'weightGradient', tensors, args }, rows, 2 * args.keys))
  return gradWeights
}
