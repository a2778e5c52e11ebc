/**
 * `torch.nn.MultiheadAttention` with its defaults: `need_weights`, so that its softmax is a plain one and gives NaN where a row attends
 * to nothing, and `average_attn_weights`. A mask of rank 3 is [B·heads, N, M].
 */
import { added, allowed, biasIn, isPerBatch, reasonAgainst, setupFor } from './call.ts'
import { defineDialect, topLeft } from './dialect.ts'

export const torchMha = defineDialect({
  library: 'PyTorch 2.15, torch.nn.MultiheadAttention',
  layout: 'bhnd',
  corner: topLeft,
  maskTrue: 'masked out',
  mask(mask, { rank, batch, heads }) {
    const { shape } = mask
    if (rank !== 4 || shape.length !== 3 || shape[0] !== batch * heads) return mask
    return { ...mask, shape: [batch, heads, shape[1], shape[2]], written: shape }
  },
  emptyRows: 'nan',
  weights: 'mean over heads',
  call(m) {
    const cannot = reasonAgainst(m, { gqa: false, scale: false })
    if (cannot !== undefined) return { cannot }
    if (m.past > 0) return { cannot: 'it has no cache of keys and values' }
    const { batch: b, heads: h, queries: n, keys } = m.g
    const [open, bias] = [allowed(m), biasIn(m)]
    const whole = bias === undefined ? open && `~(${open})` : added('torch', open, bias)
    const apart = isPerBatch(m) || m.alibi !== undefined
    const mask =
      whole && apart ? `(${whole}).expand(${b}, ${h}, ${n}, ${keys}).reshape(${b * h}, ${n}, ${keys})` : whole
    const made = `mha = torch.nn.MultiheadAttention(${h} * head_dim, ${h}, batch_first=True)  # projects query, key and value itself`
    const args = ['query', 'key', 'value', ...(mask === undefined ? [] : [`attn_mask=${mask}`])]
    return { setup: [made, ...setupFor(m, 'torch', mask)], call: `mha(${args.join(', ')})` }
  },
})
