import { keepMembers } from '../../../../workers/ops/compare/op.ts'
import type { RequestProgram } from '../../../layers/program-builder.ts'
import { type Alteration, type Call, scaling } from '../alteration.ts'
import { type Hypothesise, names } from './hypothesis.ts'

/** The gradients of k and v are those of one query head of each group; that of q is as it is. */
function of(kept: 'first' | 'last'): Alteration {
  return {
    backward(p: RequestProgram, { tensors, args }: Call): Call[] {
      const { batch, heads, kvHeads, queries, dimV } = args
      const [group, width] = [heads / kvHeads, queries * dimV]
      const x = tensors.gradOutput as number
      const y = p.buffer({ type: p.buffers[x].type, length: p.buffers[x].length })
      const all = { heads: batch * heads, width, group, kept: kept === 'first' ? 0 : group - 1 }
      p.stage(p.step(keepMembers, { x, y }, all))
      const ofKeys = { ...tensors, gradOutput: y, gradQ: undefined, gradQParts: undefined }
      if (tensors.gradQ === undefined) return [{ tensors: ofKeys, args }]
      const ofQueries = { ...tensors, gradK: undefined, gradV: undefined }
      return [
        { tensors: ofKeys, args },
        { tensors: ofQueries, args },
      ]
    },
  }
}

const GRADIENTS = ['grads.k', 'grads.v']
/** Losses that reach the weights and rows otherwise than through the output. */
const OTHERS = ['grad_weights', 'grad_logsumexp', 'entropy_weight']

/** Query heads share a kv head: its gradients are sums over them. */
export const groupSum: Hypothesise = (body, request) => {
  const { q, k, layout, cu_seqlens_q, backward = {} } = body
  if (q?.shape.length !== 4 || k?.shape.length !== 4 || cu_seqlens_q !== undefined) return []
  const axis = layout === 'bnhd' ? 2 : 1
  const group = q.shape[axis] / k.shape[axis]
  if (group < 2 || !names(request).some(name => GRADIENTS.includes(name))) return []
  const means: Alteration = scaling(Object.fromEntries(GRADIENTS.map(name => [name, 1 / group])))
  const mean = {
    says: 'The gradients of k and v are the mean over the query heads of a group instead of their sum.',
    change: null,
    alteration: means,
  }
  if (OTHERS.some(field => (backward as Record<string, unknown>)[field] !== undefined)) return [mean]
  const alone = (['last', 'first'] as const).map(kept => ({
    says: `The gradients of k and v are not summed over the query heads of a group: they are those of its ${kept} head alone.`,
    change: null,
    alteration: of(kept),
  }))
  return [...alone, mean]
}
