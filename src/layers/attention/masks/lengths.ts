/** `q_lengths`, `kv_lengths`: what lies beyond a batch element's own length is padding. */
import { defineMask } from './mask.ts'

export const lengths = defineMask({
  fields: tensors => ({
    q_lengths: tensors.whole.optional().describe('[B], B ≤ 65536: query rows from there on are padding'),
    kv_lengths: tensors.whole.optional().describe('[B], B ≤ 65536: keys from there on are padding'),
  }),
  rows: () => ({ live: 'queries', hi: 'keys' }),
})
