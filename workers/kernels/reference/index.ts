/** The reference kernels: float64, plain, the definition of every operation that is not in `ops/` yet. */
import { elementwiseKernels } from '../elementwise/index.ts'
import type { KernelSet } from '../kernel-set.ts'
import { attentionBackward, attentionForward } from './attention.ts'
import {
  linearAttentionBackwardKey,
  linearAttentionBackwardQuery,
  linearAttentionForward,
  linearStates,
} from './linear-attention.ts'
import { attentionMaps } from './maps.ts'
import { attentionMaskGradient } from './mask-gradient.ts'

export const referenceKernels: KernelSet = {
  ...elementwiseKernels,
  attentionForward,
  attentionMaps,
  attentionBackward,
  attentionMaskGradient,
  linearStates,
  linearAttentionForward,
  linearAttentionBackwardQuery,
  linearAttentionBackwardKey,
}
