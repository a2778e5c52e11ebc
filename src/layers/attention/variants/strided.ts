/** Strided attention: |i − j| < stride, or i − j a multiple of stride. Child et al. 2019 (Sparse Transformers). */
import * as z from 'zod'
import type { Pass } from '../../../../workers/ops/passes/op.ts'
import { passesForward, planPasses } from './passes.ts'
import { defineVariant, MOST_POSITIONS } from './variant.ts'

export const strided = defineVariant({
  schema: () =>
    z
      .strictObject({ kind: z.literal('strided'), stride: z.int().min(1).max(MOST_POSITIONS).default(64) })
      .meta({ id: 'StridedAttention' }),
  refused: {
    fields: ['mask', 'segments', 'alibi', 'relative_bias', 'cu_seqlens_q'],
    returns: ['dropped_weights'],
  },
  plan(p, context, kind) {
    // no two positions are further apart than this: a longer stride, too, has all pairs
    const stride = Math.min(kind.stride, context.args.queries + context.args.keys + 1)
    const near: Pass = { by: 'whole', buckets: 1, chunk: 0, reach: stride - 1 }
    const far: Pass = { by: 'residue', buckets: stride, chunk: 0, reach: -1 }
    const plan = planPasses(p, context, [near, far])
    return (p, scores, v, requested) => passesForward(p, scores, v, plan, requested)
  },
})
