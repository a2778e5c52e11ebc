/** The family of attention's ops, and the tensors that several of them read or write. */
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

/**
 * `denominator` [batch, heads, queries, 2] is that of the softmax in two numbers, (m, Σ_j exp(s_j − m)): m is the largest masked
 * score s, or near it (float32), and −∞ with a sum of 0 where a row attends to nothing. A weight is exp(s − m)/Σ. From
 * logsumexp alone no weight could be computed again where scores are large: 3e38 + ln 3 is 3e38.
 */

/** [batch, heads, queries, keys], each when given. */
export const maps = {
  /** q·kᵀ·scale for every pair, whatever the masks and lengths say */
  scores: 'out?',
  /** what the softmax sees: after softcap, mask, ALiBi; −∞ wherever not attended */
  maskedScores: 'out?',
  /** softmax, before dropout; exactly 0 wherever not attended */
  weights: 'out?',
  /** weights after dropout (and its 1/(1−p)) */
  droppedWeights: 'out?',
} as const

export const gradientTensors = {
  ...scoreTensors,
  v: 'in',
  /** [batch, heads, queries, dimV], [batch, heads, queries, 2], from the forward kernel */
  output: 'in',
  denominator: 'in:float64',
  /** [batch, heads, queries], needed when `scalars` is given and its coefficient is not 0 */
  entropy: 'in?',
  /** [batch, heads, queries, dimV] = ∂L/∂output; may hold NaN in padding rows and in rows that attend to nothing */
  gradOutput: 'in',
  /** [2] = (loss, entropy coefficient λ/R): the loss has a term coefficient·Σ_rows entropy */
  scalars: 'in?:float64',
  /** [batch, heads, queries, keys] = what the loss has of the weights themselves, ∂L/∂weights; anything where not attended */
  weightTerms: 'in?',
  /** [batch, heads, queries], added to delta: Σ_j weights·weightTerms − ∂L/∂logsumexp (see ops/loss) */
  rowTerms: 'in?:float64',
} as const
