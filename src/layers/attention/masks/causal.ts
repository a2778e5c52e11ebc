/**
 * `causal`: a row attends to the keys up to its own place among them (Vaswani et al. 2017, section 3.2.3), and with
 * `prefix_lengths` to those of the prefix as well (Raffel et al. 2020, section 3.2.1).
 */
import * as z from 'zod'
import { defineMask } from './mask.ts'

export const causal = defineMask({
  fields: tensors => ({
    causal: z
      .union([z.boolean(), z.enum(['top_left', 'bottom_right'])])
      .optional()
      .meta({ default: false })
      .describe(
        '`true` = `"top_left"`: j ≤ i. `"bottom_right"`: j ≤ i + m − n, with m, n that batch’s kv_lengths, q_lengths where given, else M, N.',
      ),
    prefix_lengths: tensors.whole
      .optional()
      .describe(
        '[B], B ≤ 65536, beside `causal`: keys before it are open to every row (prefix LM); with a past, of all P + M keys',
      ),
  }),
  rows({ causal, prefix_lengths }) {
    if (!causal) return undefined
    const end = ['+', 'aligned', 1] as const
    return { hi: prefix_lengths === undefined ? end : ['max', end, 'prefix'] }
  },
})
