/**
 * Hugging Face transformers, `masking_utils` and eager attention: causal rows stand at the end of all keys, padding or not; a mask of
 * rank 2 is [B, M], 1 for a token and 0 for padding; −∞ is the least finite number, so that a row without a key is uniform.
 */

import { shapePointer, type TensorSource } from '../../../formats/tensor.ts'
import { fieldProblem } from '../../../problem.ts'
import { allowed, biasIn, named, reasonAgainst, setupFor, tensorsIn } from './call.ts'
import { type Axes, defineDialect } from './dialect.ts'
import type { Meaning } from './meaning.ts'

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
  call(m) {
    const cannot = reasonAgainst(m, { softcap: true })
    if (cannot !== undefined) return { cannot }
    const [open, bias] = [allowed(m), biasIn(m)]
    const own = bias === undefined ? maskingUtils(m) : undefined
    const least = 'torch.finfo(torch.float32).min'
    const masked = open === undefined ? bias : `torch.where(${open}, ${bias ?? '0.0'}, ${least})`
    const mask = own ?? masked
    const fields = named({ scaling: m.scale, dropout: m.dropout, softcap: m.softcap })
    const args = ['module', ...tensorsIn(m, 'torch', 'bhnd'), mask ?? 'None', ...fields]
    const setup = setupFor(m, 'torch', mask)
    return { setup, call: `eager_attention_forward(${args.join(', ')})` }
  },
})

/** The mask as transformers makes it, where it has a function for it. */
function maskingUtils(m: Meaning): string | undefined {
  const { shift, window, kvLengths, mask } = m
  const { batch, queries, keys } = m.g
  if (!m.causal || m.prefix || m.qLengths || m.segments || mask !== undefined) return undefined
  if (typeof shift !== 'number' || shift < 0 || m.kind.kind !== 'softmax') return undefined
  const sliding = window !== undefined
  if (sliding && (window.shift !== shift || window.left === null || (window.right ?? 0) < 0)) return undefined
  const rule = sliding
    ? `sliding_window_causal_mask_function(${(window.left ?? 0) + 1})`
    : 'causal_mask_function'
  const fields = named({
    q_offset: shift === 0 ? undefined : shift,
    mask_function: rule,
    attention_mask: kvLengths ? '(j < kv_lengths[:, None])' : undefined,
  })
  return `eager_mask(${[batch, queries, keys, ...fields].join(', ')})`
}

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
  return { ...mask, shape: axes, written: shape, dtype: 'bool' }
}
