/** `jax.nn.dot_product_attention`. What is masked gets a large finite number, so that a row without a key is uniform. */
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
})
