/** The reference kernels: float64, plain, the definition of every operation. */
import { elementwiseKernels } from '../elementwise/index.ts'
import type { KernelSet } from '../kernel-set.ts'
import { attentionBackward, attentionForward } from './attention.ts'
import { linearBackwardInput, linearBackwardWeight, linearForward } from './linear.ts'
import { attentionMaps } from './maps.ts'
import { attentionMaskGradient } from './mask-gradient.ts'

export const referenceKernels: KernelSet = {
  ...elementwiseKernels,
  attentionForward,
  attentionMaps,
  attentionBackward,
  attentionMaskGradient,
  linearForward,
  linearBackwardInput,
  linearBackwardWeight,
}
