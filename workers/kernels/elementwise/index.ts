/** What both kernel sets do in the same way: plain TypeScript on either type of buffer, bound by memory. */
import type { KernelSet } from '../kernel-set.ts'
import { linearAttentionDelta, linearStateSums } from './linear-attention-sums.ts'
import { earlierPasses, passesMask, sortPasses } from './sort-passes.ts'
import { weightGradient } from './weight-gradient.ts'

export const elementwiseKernels = {
  linearStateSums,
  linearAttentionDelta,
  sortPasses,
  earlierPasses,
  passesMask,
  weightGradient,
} satisfies Partial<KernelSet>
