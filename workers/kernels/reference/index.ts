/** The reference kernels: float64, plain, the definition of every operation. */
import { elementwiseKernels } from '../elementwise/index.ts'
import type { KernelSet } from '../kernel-set.ts'
import { activationBackward, activationForward } from './activation.ts'
import { add } from './add.ts'
import { attentionBackward, attentionForward } from './attention.ts'
import { columnSums } from './column-sums.ts'
import { dropoutRows } from './dropout-rows.ts'
import { linearBackwardInput, linearBackwardWeight, linearForward } from './linear.ts'
import {
  linearAttentionBackwardKey,
  linearAttentionBackwardQuery,
  linearAttentionForward,
  linearStates,
} from './linear-attention.ts'
import { attentionMaps } from './maps.ts'
import { attentionMaskGradient } from './mask-gradient.ts'

import { normBackward, normForward } from './norm.ts'
import { qkNormBackward, qkNormForward } from './qk-norm.ts'
import { ropeBackward, ropeForward } from './rope.ts'

export const referenceKernels: KernelSet = {
  ...elementwiseKernels,
  attentionForward,
  attentionMaps,
  attentionBackward,
  attentionMaskGradient,
  linearForward,
  linearBackwardInput,
  linearBackwardWeight,
  columnSums,
  normForward,
  normBackward,
  activationForward,
  activationBackward,
  add,
  dropoutRows,
  qkNormForward,
  qkNormBackward,
  ropeForward,
  ropeBackward,
  linearStates,
  linearAttentionForward,
  linearAttentionBackwardQuery,
  linearAttentionBackwardKey,
}
