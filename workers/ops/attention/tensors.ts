/** The family of attention's ops, and the tensors that its scores are made of. */
import { defineFamily, type TensorsOf } from '../define-op.ts'

export const family = defineFamily('attention', { callBytes: 512 })

/** What the scores are made of. */
export const scoreTensors = {
  q: 'in',
  k: 'in',
  /** addressed by `maskStrides`; bytes for a bool mask, reals for a float mask */
  mask: 'in?:elements',
  /** ALiBi slopes [heads] */
  slopes: 'in?',
  /** [heads, distances], added to the score of (i, j) at j − aligned i − firstDistance (see ops/relative-bias) */
  distanceBiases: 'in?',
  /**
   * [batch or 1, heads or 1, queries, 2] (see `intervalStrides`): a row attends only to its own keys [from, to). Within a head
   * neither `from` nor `to` ever decreases from one row to the next: kernels skip rows by bisection. Without it a row attends to
   * all keys.
   */
  intervals: 'in?:int32',
  /**
   * [batch, queries] and [batch, keys]: a row attends only to keys of the same id, to none where its own is negative. Intervals
   * say it all but where `mixedSegments` [batch] is not 0: there pairs are compared.
   */
  qSegments: 'in?:int32',
  kvSegments: 'in?:int32',
  mixedSegments: 'in?:int32',
  /** [batch]: what is added to a row's index to place it among the keys, where that differs */
  shifts: 'in?:int32',
  /**
   * Where the keys of one row are attended in several passes (`earlier` > 0), a pair counts in the first pass that
   * has it: it is masked where earlierIntervals[b, h, e, i] = [from, to) holds earlierRanks[b, kvHead, e, j] for an
   * earlier pass e. Shapes [batch, kvHeads, earlier, keys] and [batch, heads, earlier, queries, 2].
   */
  earlierRanks: 'in?:int32',
  earlierIntervals: 'in?:int32',
} as const

export type ScoreTensors = TensorsOf<typeof scoreTensors>
