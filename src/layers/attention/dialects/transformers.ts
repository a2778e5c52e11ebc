/**
 * Hugging Face transformers, `masking_utils` and eager attention: causal rows stand at the end of all keys, padding or not; a mask of
 * rank 2 is [B, M], 1 for a token and 0 for padding; −∞ is the least finite number, so that a row without a key is uniform.
 */

import { shapePointer, type TensorSource } from '../../../formats/tensor.ts'
import { fieldProblem } from '../../../problem.ts'
import { type Axes, defineDialect } from './dialect.ts'

export const transformers = defineDialect({
  library: 'transformers 5.24, masking_utils and eager_attention_forward',
  layout: 'bhnd',
  corner: ({ causal }) => (causal ? 'bottom_right_of_all' : 'top_left'),
  window(span, causal) {
    if (typeof span !== 'number' || span < 1) return undefined
    // with causal W keys, the row's own among them; without it those at a distance of at most W
    return causal ? { left: span - 1, right: null } : { left: span, right: span }
  },
  windowForm: 'an integer W of at least 1',
  maskTrue: 'may attend',
  mask: paddingMask,
  emptyRows: 'uniform',
  weights: 'per head',
})

function paddingMask(mask: TensorSource, { rank, batch }: Axes): TensorSource {
  const { shape, form, dtype } = mask
  if (shape.length !== 2 || rank < 3) return mask
  if (shape[0] !== batch) {
    const message = `expected [${batch}, M], 1 for a token and 0 for padding, got [${shape.join(', ')}]`
    throw fieldProblem('SHAPE_MISMATCH', `/mask${shapePointer(mask)}`, message)
  }
  const numbers = (form === 'nested' || form === 'flat') && dtype === 'float64'
  if (dtype !== 'bool' && !numbers && form !== 'shape') {
    throw fieldProblem('INVALID_TENSOR', '/mask', `expected bool elements in a mask [B, M], got ${dtype}`)
  }
  const axes = [batch, ...(rank === 4 ? [1] : []), 1, shape[1]]
  return { ...mask, shape: axes, dtype: 'bool' }
}
