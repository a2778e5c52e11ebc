/** `qk_norm`: every row of q and of the new keys is normalised before anything else. Henry et al. 2020; Dehghani et al. 2023. */
import * as z from 'zod'
import type { Ref } from '../../../../workers/contract.ts'
import { normForward } from '../../../../workers/ops/norm/op.ts'
import { qkNormBackward, qkNormForward } from '../../../../workers/ops/qk-norm/op.ts'
import { normBackward } from '../../norm.ts'
import { positive } from '../../numerics.ts'
import type { AttentionPlan, Stage, StageBackward, StageTangent } from './stage.ts'

export const qkNormFields = {
  qk_norm: z
    .union([
      z.literal('l2'),
      z.strictObject({ kind: z.literal('rms'), eps: positive().default(1e-6) }),
      z.strictObject({ kind: z.literal('l2'), eps: positive().default(1e-12) }),
    ])
    .describe(
      'Normalise every row of q and k first: `"l2"` is x / max(‖x‖, 1e-12), `rms` is x / √(mean(x²) + eps). In a stack whose ' +
        'parameters have gains (q_norm.gamma), `rms` says their norm’s eps.',
    )
    .optional(),
}

export const qkNorm: Stage = {
  needs: 'norm',
  forward(p, flow) {
    const { geometry, past } = flow.plan
    const norm = flow.plan.norm as NonNullable<AttentionPlan['norm']>
    const { batch, heads, kvHeads, queries, keys, dimK: dim } = geometry
    const side = (x: Ref, rows: number, gamma: Ref | undefined) => {
      const args = { rows, dim, ...norm }
      const y = p.reals(rows * dim)
      if (gamma === undefined) return { x, y, args, gamma, step: p.step(qkNormForward, { x, y }, args) }
      return { x, y, args, gamma, step: p.step(normForward, { x, gamma, y }, { ...args, kind: 'rms' }) }
    }
    const q = side(flow.q, batch * heads * queries, flow.gainQ)
    const k = side(flow.k, batch * kvHeads * (keys - past), flow.gainK)
    p.stage(q.step, k.step)
    flow.q = q.y
    flow.k = k.y

    const backward: StageBackward = (p, gradients) => {
      const { gainQ = false, gainK = false } = gradients.needs
      const through = ({ x, y, args, gamma }: typeof q, gradY: Ref | undefined, needGain: boolean) => {
        if (gradY === undefined) return { steps: [] }
        if (gamma !== undefined) {
          const state = { args: { ...args, kind: 'rms' as const }, x, gamma, y }
          const found = normBackward(p, state, gradY, { gamma: needGain, beta: false })
          return { gradX: found.x, gradGain: found.gamma, steps: [] }
        }
        const gradX = p.reals(args.rows * dim)
        return { gradX, steps: [p.step(qkNormBackward, { x, gradY, gradX }, args)] }
      }
      const gradQ = through(q, gradients.q, gainQ)
      const gradK = through(k, gradients.k, gainK)
      p.stage(...gradQ.steps, ...gradK.steps)
      gradients.q = gradQ.gradX
      gradients.k = gradK.gradX
      gradients.gainQ = gradQ.gradGain
      gradients.gainK = gradK.gradGain
    }

    /** ∂y/∂x of a row is symmetric: what goes back through it goes forward likewise. */
    const tangent: StageTangent = (p, tangents) => {
      const through = ({ x, args, gamma }: typeof q, tangentX: Ref | undefined) => {
        if (tangentX === undefined) return { steps: [] }
        if (gamma !== undefined) throw new Error('norms with gains have no tangents')
        const y = p.reals(args.rows * dim)
        return { y, steps: [p.step(qkNormBackward, { x, gradY: tangentX, gradX: y }, args)] }
      }
      const forQ = through(q, tangents.q)
      const forK = through(k, tangents.k)
      p.stage(...forQ.steps, ...forK.steps)
      tangents.q = forQ.y
      tangents.k = forK.y
    }
    return { backward, tangent }
  },
}
