/** `jax.nn.dot_product_attention`. What is masked gets a large finite number, so that a row without a key is uniform. */
import { allowed, biasIn, named, type RuleName, reasonAgainst, setupFor, tensorsIn } from './call.ts'
import { defineDialect, topLeft } from './dialect.ts'

export const jax = defineDialect({
  library: 'JAX 0.10, jax.nn.dot_product_attention',
  layout: 'bnhd',
  withoutBatch: true,
  corner: topLeft,
  window(span) {
    const [left, right] = typeof span === 'number' ? [span, span] : span
    return left < 0 || right < 0 ? undefined : { left, right, align: 'top_left' }
  },
  windowForm: 'an integer or [left, right], none of them negative',
  maskTrue: 'may attend',
  emptyRows: 'uniform',
  weights: 'per head',
  call(m) {
    const cannot = reasonAgainst(m, {})
    if (cannot !== undefined) return { cannot }
    if (m.dropout !== undefined) return { cannot: 'it has no dropout' }
    if (m.g.dimV !== m.g.dimK) return { cannot: 'its keys and values have one size' }
    const said: RuleName[] = ['kv_lengths', 'q_lengths']
    const causal = m.causal && m.shift === 0 && !m.prefix
    if (causal) said.push('causal')
    const window = m.window?.shift === 0 ? m.window : undefined
    if (window !== undefined) said.push('window')
    const all = Math.max(m.g.keys, m.g.queries)
    const [mask, bias] = [allowed(m, said), biasIn(m)]
    const fields = named({
      bias,
      mask,
      scale: m.scale,
      is_causal: causal ? 'True' : undefined,
      query_seq_lengths: m.qLengths ? 'q_lengths' : undefined,
      key_value_seq_lengths: m.kvLengths ? 'kv_lengths' : undefined,
      local_window_size: window && `(${window.left ?? all}, ${window.right ?? all})`,
    })
    const args = [...tensorsIn(m, 'jnp', 'bnhd'), ...fields]
    return { setup: setupFor(m, 'jnp', mask, bias), call: `jax.nn.dot_product_attention(${args.join(', ')})` }
  },
})
