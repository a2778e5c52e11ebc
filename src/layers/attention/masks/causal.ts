/** `causal`: a row attends to the keys up to its own place among them. Vaswani et al. 2017, section 3.2.3. */
import * as z from 'zod'
import { defineMask } from './mask.ts'

export const causal = defineMask({
  fields: () => ({
    causal: z
      .union([z.boolean(), z.enum(['top_left', 'bottom_right'])])
      .default(false)
      .describe(
        '`true` = `"top_left"`: j ≤ i. `"bottom_right"`: j ≤ i + m − n, with m, n that batch’s kv_lengths, q_lengths where given, else M, N.',
      ),
  }),
  rows: ({ causal }) => (causal ? { hi: ['+', 'aligned', 1] } : undefined),
})
