import type { TensorSource } from '../../../formats/tensor.ts'
import type { Hypothesise } from './hypothesis.ts'
import { names } from './hypothesis.ts'

/** k and v, or their gradients, taken for each other. */
export const swapped: Hypothesise = ({ k, v }, request) => {
  if (k === undefined || v === undefined || String(k.shape) !== String(v.shape)) return []
  const source = (pointer: string, own: TensorSource) => (pointer === '/k' ? v : pointer === '/v' ? k : own)
  const forward = {
    says: 'k and v are taken for each other.',
    change: null,
    ofAllHeads: true,
    alteration: { source },
  } as const
  const known = names(request)
  if (!known.includes('grads.k') && !known.includes('grads.v')) return [forward]
  return [
    forward,
    {
      says: 'The gradients of k and v are taken for each other.',
      change: null,
      alteration: {
        answer(_, evaluation) {
          const [ofK, ofV] = [evaluation.get('grads.k'), evaluation.get('grads.v')]
          if (ofK === undefined || ofV === undefined) return
          const { buffer } = ofK
          ofK.buffer = ofV.buffer
          ofV.buffer = buffer
        },
      },
    },
  ]
}
