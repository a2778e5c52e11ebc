/** flash-attn: everything is counted from the bottom right corner, also windows and ALiBi without causal. */
import { allowed, named, reasonAgainst, setupFor, tensorsIn } from './call.ts'
import { defineDialect, openWhereNegative } from './dialect.ts'
import type { Meaning, Shift } from './meaning.ts'

export const flashAttn = defineDialect({
  library: 'flash-attn 2.8, flash_attn_func and its variants',
  layout: 'bnhd',
  corner: () => 'bottom_right',
  window: openWhereNegative,
  windowForm: '[left, right] with −1 for unbounded',
  maskTrue: 'may attend',
  emptyRows: 'zeros',
  weights: 'per head',
  call(m) {
    const cannot = reasonAgainst(m, { softcap: true, packed: true }) ?? flashCannot(m)
    if (cannot !== undefined) return { cannot }
    const { left = null, right = null } = m.window ?? {}
    const fields = named({
      dropout_p: m.dropout,
      softmax_scale: m.scale,
      causal: m.causal ? 'True' : undefined,
      window_size: m.window && `(${left ?? -1}, ${right ?? -1})`,
      softcap: m.softcap,
      alibi_slopes: m.alibi && 'alibi',
    })
    const setup = setupFor(m, 'torch', m.alibi && 'alibi')
    if (m.packed) {
      const starts = ['cu_seqlens_q', 'cu_seqlens_k', 'max_seqlen_q', 'max_seqlen_k']
      return {
        setup,
        call: `flash_attn.flash_attn_varlen_func(${['q', 'k', 'v', ...starts, ...fields].join(', ')})`,
      }
    }
    const [q, k, v] = tensorsIn(m, 'torch', 'bnhd')
    const name = m.kvLengths ? 'flash_attn_with_kvcache' : 'flash_attn_func'
    const lengths = m.kvLengths ? ['cache_seqlens=kv_lengths'] : []
    return { setup, call: `flash_attn.${name}(${[q, k, v, ...lengths, ...fields].join(', ')})` }
  },
})

function flashCannot(m: Meaning): string | undefined {
  const { keys, queries } = m.g
  if (m.mask !== undefined) return 'it takes no mask'
  if (m.g.dimV !== m.g.dimK) return 'its keys and values have one size'
  if (m.qLengths) return 'it has no q_lengths; pack the sequences (flash_attn_varlen_func)'
  if (m.kvLengths && m.dropout !== undefined) return 'flash_attn_with_kvcache has no dropout'
  if (m.prefix) return 'it has no prefix that is open to all rows'
  if (allowed(m, ['causal', 'window', 'kv_lengths']) !== undefined) return 'it takes no mask'
  const corner: Shift = m.kvLengths || m.packed ? 'lengths' : keys - queries
  const counted = [m.causal || m.alibi !== undefined ? m.shift : undefined, m.window?.shift]
  if (counted.some(shift => shift !== undefined && shift !== corner))
    return 'it counts from the bottom right corner'
  return undefined
}
