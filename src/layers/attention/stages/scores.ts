/** Attention itself: the softmax over q·kᵀ, or a variant of it. What it computes is in the plan and in `variants/`. */
import { withEmptyRows } from '../empty-rows.ts'
import { argsForLayer } from '../plan.ts'
import { relativeBiasBackward } from '../relative-bias.ts'
import { sinksBackward } from '../sinks.ts'
import type { Stage, StageBackward, StageTangent } from './stage.ts'

export const scores: Stage = {
  forward(p, flow) {
    const { plan } = flow
    const scores = {
      args: argsForLayer(plan, flow.seedOffset),
      q: flow.q,
      k: flow.k,
      nonFinite: p.nonFinite,
      mask: plan.mask,
      maskLayout: plan.maskLayout,
      slopes: plan.slopes,
      sinks: flow.sinks ?? plan.sinks,
      distanceBiases: plan.relativeBias?.biases,
      shifts: plan.places.refs.shifts,
      intervals: plan.intervals.ref,
      ...plan.segments,
      area: plan.intervals.area,
      places: plan.places,
      packed: plan.packed,
      state: flow.state,
    }
    const given = plan.variant(p, scores, flow.v, flow.requested)
    const attended = plan.emptyRows === undefined ? given : withEmptyRows(p, plan, given, flow.v)
    flow.attended = attended

    const backward: StageBackward = (p, gradients) => {
      const { needs, output, scalars, terms } = gradients
      const found = attended.backward(
        p,
        output,
        scalars,
        {
          q: needs.q,
          k: needs.k || needs.pastK,
          v: needs.v || needs.pastV,
          mask: needs.mask,
          distances: needs.relativeBias === true,
          own: needs.own,
        },
        terms,
      )
      gradients.q = found.q
      gradients.k = found.k
      gradients.v = found.v
      gradients.mask = found.mask
      gradients.own = found.own
      if (found.distances !== undefined && plan.relativeBias !== undefined) {
        gradients.relativeBias = relativeBiasBackward(p, plan.relativeBias, found.distances)
      }
      if (needs.sinks) gradients.sinks = sinksBackward(p, attended, output, scalars, terms)
    }

    const tangent: StageTangent = (p, tangents) => {
      if (attended.tangent === undefined) throw new Error(`${plan.kind.kind} attention has no tangents`)
      tangents.results = attended.tangent(p, tangents, tangents.wanted)
    }
    return { backward, tangent }
  },
}
