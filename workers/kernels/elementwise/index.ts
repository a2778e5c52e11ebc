/**
 * What both kernel sets do in the same way: work of O(N·d), bound by memory, on either type of buffer with float64
 * arithmetic in between. Plain TypeScript loses nothing here.
 */
import type { KernelSet } from '../kernel-set.ts'
import { concatBackward, concatForward } from './concat.ts'
import { initialise } from './initialise.ts'
import { lossTotal, squaredErrorLoss } from './loss.ts'
import { maskRows } from './mask-rows.ts'
import { alibiBias, sinusoidalTable } from './position-tables.ts'
import { qkNormBackward, qkNormForward } from './qk-norm.ts'
import { ropeBackward, ropeForward, ropeTable } from './rope.ts'

export const elementwiseKernels = {
  qkNormForward,
  qkNormBackward,
  ropeTable,
  ropeForward,
  ropeBackward,
  squaredErrorLoss,
  lossTotal,
  sinusoidalTable,
  alibiBias,
  initialise,
  concatForward,
  concatBackward,
  maskRows,
} satisfies Partial<KernelSet>
