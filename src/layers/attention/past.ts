/** `past_k` and `past_v`: keys and values of earlier requests, before the new ones. For autoregressive decoding. */
import type { Ref } from '../../../workers/task.ts'
import type { TensorSource } from '../../formats/tensor.ts'
import { fieldProblem } from '../../problem.ts'
import { expectShape, type Geometry, inRank, wrong } from '../geometry.ts'
import type { Differentiable } from '../gradient-set.ts'
import type { RequestProgram } from '../program-builder.ts'

export interface PastFields {
  past_k?: TensorSource | undefined
  past_v?: TensorSource | undefined
}

export interface Past {
  /** positions; 0 without a past */
  length: number
  refs: { pastK?: Ref; pastV?: Ref }
  /** what `wrt` may name */
  wanted: Differentiable
}

/** past_k [B, H_kv, P, d_k] and past_v [B, H_kv, P, d_v], with the axes that `g` has. */
export function pastInputs(p: RequestProgram, { past_k, past_v }: PastFields, g: Geometry): Past {
  if (past_k === undefined && past_v === undefined) return { length: 0, refs: {}, wanted: {} }
  const missing = past_k === undefined ? 'past_k' : past_v === undefined ? 'past_v' : undefined
  if (past_k === undefined || past_v === undefined) {
    throw fieldProblem(
      'INVALID_REQUEST',
      `/${missing}`,
      'expected past_k and past_v together, got one of them',
    )
  }
  const kv = { ...g, heads: g.kvHeads }
  const rank = inRank(kv, 0, 0).length
  const length = past_k.shape.at(-2) ?? 0
  if (past_k.shape.length !== rank)
    wrong('/past_k', past_k, `expected [${[...inRank(kv), 'P', g.dimK].join(', ')}]`)
  expectShape('/past_k', past_k, inRank(kv, length, g.dimK))
  expectShape('/past_v', past_v, inRank(kv, length, g.dimV))
  return {
    length,
    refs: { pastK: p.input('/past_k', past_k), pastV: p.input('/past_v', past_v) },
    wanted: { past_k: false, past_v: false },
  }
}
