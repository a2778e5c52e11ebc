/** Attention itself: the softmax over q·kᵀ, or a variant of it. What it computes is in the plan and in `variants/`. */
import { argsForLayer } from '../plan.ts'
import type { Stage } from './stage.ts'

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
      shifts: plan.places.refs.shifts,
      intervals: plan.intervals.ref,
      ...plan.segments,
      area: plan.intervals.area,
      places: plan.places,
      packed: plan.packed,
      state: flow.state,
    }
    const attended = plan.variant(p, scores, flow.v, flow.requested)
    flow.attended = attended

    return (p, gradients) => {
      const { needs } = gradients
      const found = attended.backward(p, gradients.output, gradients.scalars, {
        q: needs.q,
        k: needs.k || needs.pastK,
        v: needs.v || needs.pastV,
        mask: needs.mask,
        own: needs.own,
      })
      gradients.q = found.q
      gradients.k = found.k
      gradients.v = found.v
      gradients.mask = found.mask
      gradients.own = found.own
    }
  },
}
