/**
 * What both kernel sets do in the same way: work of O(N·d), bound by memory, on either type of buffer with float64
 * arithmetic in between. Plain TypeScript loses nothing here.
 */
import { intervals } from '../../ops/intervals/kernel.ts'
import type { KernelSet } from '../kernel-set.ts'
import { concatBackward, concatForward } from './concat.ts'
import { initialise } from './initialise.ts'
import { linearAttentionDelta, linearStateSums } from './linear-attention-sums.ts'
import { lossTotal, squaredErrorLoss } from './loss.ts'
import { lshBuckets, lshRotations } from './lsh.ts'
import { maskRows } from './mask-rows.ts'
import { outputError, outputErrorTotal } from './output-error.ts'
import { gatherRows, mergeParts, sumParts } from './parts.ts'
import { alibiBias, ropeTable, sinusoidalTable } from './position-tables.ts'
import { earlierPasses, passesMask, sortPasses } from './sort-passes.ts'
import { takeHeads } from './take-heads.ts'
import { poolMaps, quantiseMaps } from './thumbnails.ts'
import { weightGradient } from './weight-gradient.ts'

export const elementwiseKernels = {
  ropeTable,
  squaredErrorLoss,
  lossTotal,
  sinusoidalTable,
  alibiBias,
  initialise,
  concatForward,
  concatBackward,
  maskRows,
  intervals,
  linearStateSums,
  linearAttentionDelta,
  lshRotations,
  lshBuckets,
  sortPasses,
  earlierPasses,
  passesMask,
  gatherRows,
  sumParts,
  mergeParts,
  outputError,
  outputErrorTotal,
  takeHeads,
  weightGradient,
  poolMaps,
  quantiseMaps,
} satisfies Partial<KernelSet>
