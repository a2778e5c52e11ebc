/** flash-attn: everything is counted from the bottom right corner, also windows and ALiBi without causal. */
import { defineDialect, openWhereNegative } from './dialect.ts'

export const flashAttn = defineDialect({
  library: 'flash-attn 2.8, flash_attn_func and its variants',
  layout: 'bnhd',
  corner: () => 'bottom_right',
  window: openWhereNegative,
  windowForm: '[left, right] with −1 for unbounded',
  maskTrue: 'may attend',
  emptyRows: 'zeros',
  weights: 'per head',
})
