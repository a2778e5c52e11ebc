/** `past_k`, `past_v`: keys and values of earlier requests, before the new ones. For autoregressive decoding. */

import type { Ref } from '../../../../workers/contract.ts'
import { concatBackward, concatForward, maskRows } from '../../../../workers/ops/elementwise/op.ts'
import type { TensorKinds } from '../../../formats/tensor-fields.ts'
import { fieldProblem } from '../../../problem.ts'
import { expectShape, type Geometry, inRank, wrong } from '../../geometry.ts'
import type { Differentiable } from '../../gradients.ts'
import type { RequestProgram } from '../../program-builder.ts'
import type { Given } from '../../sequence.ts'
import type { HeadsFirst } from '../heads-first.ts'
import type { Stage, StageBackward, StageTangent } from './stage.ts'

export function pastFields(tensors: TensorKinds) {
  return {
    past_k: tensors.values
      .optional()
      .describe(
        '[B, H_kv, P, d_k]: keys before the new ones, already normalised and rotated. Query i then stands at position P + i ' +
          'for `causal`, `window`, `alibi` (top_left) and rope; masks and kv_lengths count all P + M keys; the answer has present_k.',
      ),
    past_v: tensors.values
      .optional()
      .describe('[B, H_kv, P, d_v]: values before the new ones; the answer has present_v'),
  }
}

export interface Past {
  /** whether the request has one, perhaps of length 0 */
  given: boolean
  /** positions */
  length: number
  refs: { pastK?: Ref; pastV?: Ref }
  /** what `wrt` may name */
  differentiable: Differentiable
}

export const NO_PAST: Past = { given: false, length: 0, refs: {}, differentiable: {} }

/** past_k [B, H_kv, P, d_k] and past_v [B, H_kv, P, d_v], with the axes that `g` has, in the order that `headsFirst` reads. */
export function pastInputs(
  p: RequestProgram,
  { past_k, past_v }: { past_k?: Given | undefined; past_v?: Given | undefined },
  g: Geometry,
  [atK, atV]: string[] = ['/past_k', '/past_v'],
  headsFirst?: HeadsFirst,
): Past {
  if (past_k === undefined && past_v === undefined) return NO_PAST
  if (past_k === undefined || past_v === undefined) {
    const missing = past_k === undefined ? atK : atV
    throw fieldProblem('INVALID_REQUEST', missing, 'expected past_k and past_v together, got one of them')
  }
  const kv = { ...g, heads: g.kvHeads }
  const shapeOf = (length: number, dim: number) =>
    headsFirst?.shape({ heads: g.kvHeads, positions: length }, dim) ?? inRank(kv, length, dim)
  const rank = shapeOf(0, 0).length
  const axis = headsFirst === undefined ? rank - 2 : 1
  const length = past_k.shape[axis] ?? 0
  if (past_k.shape.length !== rank) {
    const named = shapeOf(0, g.dimK).map((extent, at) => (at === axis ? 'P' : extent))
    wrong(atK, past_k, `expected [${named.join(', ')}]`)
  }
  expectShape(atK, past_k, shapeOf(length, g.dimK))
  expectShape(atV, past_v, shapeOf(length, g.dimV))
  const input = (pointer: string, source: Given, dim: number) => {
    const x = 'ref' in source ? source.ref : p.input(pointer, source)
    return headsFirst?.read(x, { heads: g.kvHeads, positions: length }, dim) ?? x
  }
  return {
    given: true,
    length,
    refs: { pastK: input(atK, past_k, g.dimK), pastV: input(atV, past_v, g.dimV) },
    differentiable: { past_k: false, past_v: false },
  }
}

export const past: Stage = {
  needs: 'pastGiven',
  forward(p, flow) {
    const { geometry, past: length } = flow.plan
    const { batch, kvHeads, dimK, dimV, keys } = geometry
    const units = batch * kvHeads
    const argsOf = (dim: number) => {
      const positions = { past: length, positions: keys - length }
      // all heads of a position follow one another there
      if (flow.plan.args.positionsFirst) return { heads: batch, ...positions, dim: kvHeads * dim }
      return { heads: units, ...positions, dim }
    }
    const present = (past: Ref, x: Ref, dim: number) => {
      const y = p.reals(units * keys * dim)
      return { y, step: p.step(concatForward, { past, x, y }, argsOf(dim)) }
    }
    const k = present(flow.pastK as Ref, flow.k, dimK)
    const v = present(flow.pastV as Ref, flow.v, dimV)
    p.stage(k.step, v.step)
    flow.k = k.y
    flow.v = v.y

    const backward: StageBackward = (p, gradients) => {
      const { needs } = gradients
      const parts = (gradY: Ref | undefined, dim: number, needFresh: boolean, needPast: boolean) => {
        if (gradY === undefined) return { steps: [] }
        const args = argsOf(dim)
        const gradPast = needPast ? p.reals(units * length * dim) : undefined
        const gradX = needFresh ? p.reals(units * (keys - length) * dim) : undefined
        const step = p.step(concatBackward, { gradY, gradPast, gradX }, args)
        return { gradPast, gradX, steps: [step] }
      }
      const forK = parts(gradients.k, dimK, needs.k, needs.pastK)
      const forV = parts(gradients.v, dimV, needs.v, needs.pastV)
      p.stage(...forK.steps, ...forV.steps)
      gradients.k = forK.gradX
      gradients.v = forV.gradX
      gradients.pastK = forK.gradPast
      gradients.pastV = forV.gradPast
    }

    /** The past does not move. */
    const tangent: StageTangent = (p, tangents) => {
      const lengths = p.buffer({ type: 'int32', length: 1, data: [0] })
      const still = (past: Ref, dim: number) => {
        const y = p.reals(units * length * dim)
        const args = { batch: 1, positions: units * length, dim }
        return { y, step: p.step(maskRows, { x: past, lengths, y }, args) }
      }
      const pastK = tangents.k === undefined ? undefined : still(flow.pastK as Ref, dimK)
      const pastV = tangents.v === undefined ? undefined : still(flow.pastV as Ref, dimV)
      p.stage(...[pastK, pastV].flatMap(past => past?.step ?? []))
      const forK = pastK && present(pastK.y, tangents.k as Ref, dimK)
      const forV = pastV && present(pastV.y, tangents.v as Ref, dimV)
      p.stage(...[forK, forV].flatMap(both => both?.step ?? []))
      tangents.k = forK?.y
      tangents.v = forV?.y
    }
    return { backward, tangent }
  },
}
