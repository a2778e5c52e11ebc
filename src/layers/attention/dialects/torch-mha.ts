/**
 * `torch.nn.MultiheadAttention` with its defaults: `need_weights`, so that its softmax is a plain one and gives NaN where a row attends
 * to nothing, and `average_attn_weights`. A mask of rank 3 is [B·heads, N, M].
 */
import { defineDialect, topLeft } from './dialect.ts'

export const torchMha = defineDialect({
  library: 'PyTorch 2.15, torch.nn.MultiheadAttention',
  layout: 'bhnd',
  corner: topLeft,
  maskTrue: 'masked out',
  mask(mask, { rank, batch, heads }) {
    const { shape } = mask
    if (rank !== 4 || shape.length !== 3 || shape[0] !== batch * heads) return mask
    return { ...mask, shape: [batch, heads, shape[1], shape[2]] }
  },
  emptyRows: 'nan',
  weights: 'mean over heads',
})
