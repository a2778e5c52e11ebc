/** Packed sequences: from positions first to heads first, sequence by sequence, as attention reads them. */
import type { HeadsFirst } from '../heads-first.ts'
import type { Packed } from '../packed.ts'
import type { Stage, StageBackward, StageTangent } from './stage.ts'

export const packed: Stage = {
  needs: 'packed',
  forward(_, flow) {
    const { q, k } = (flow.plan.packed as Packed).rows
    const { dimK, dimV } = flow.plan.geometry
    const headsFirst = flow.plan.headsFirst as HeadsFirst
    flow.q = headsFirst.read(flow.q, q, dimK)
    flow.k = headsFirst.read(flow.k, k, dimK)
    flow.v = headsFirst.read(flow.v, k, dimV)

    const backward: StageBackward = (_, gradients) => {
      if (gradients.q !== undefined) gradients.q = headsFirst.write(gradients.q, q, dimK)
      if (gradients.k !== undefined) gradients.k = headsFirst.write(gradients.k, k, dimK)
      if (gradients.v !== undefined) gradients.v = headsFirst.write(gradients.v, k, dimV)
    }

    const tangent: StageTangent = (_, tangents) => {
      if (tangents.q !== undefined) tangents.q = headsFirst.read(tangents.q, q, dimK)
      if (tangents.k !== undefined) tangents.k = headsFirst.read(tangents.k, k, dimK)
      if (tangents.v !== undefined) tangents.v = headsFirst.read(tangents.v, k, dimV)
    }
    return { backward, tangent }
  },
}
