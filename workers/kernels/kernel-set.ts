/**
 * What a set of kernels must offer for the ops that are not in the list yet (`ops/index.ts`). There are two: `reference/` (plain TypeScript, float64, the definition) and
 * `simd/` (AssemblyScript, float32). They do not know each other; tests hold one against the other.
 *
 * Every kernel works on a range of units [from, to) and writes only what those units own, so that any division of the
 * range into tasks gives the same bits. Output memory is uninitialised: a kernel writes every element its units own.
 * `scratch` is the byte offset in shared memory of a work area that is the task's alone (reference kernels need none).
 */
import type { Reals } from '../ops/define-op.ts'
import type { AttentionArgs, MaskGradientArgs } from '../task.ts'
import type { LinearAttentionKernels } from './linear-attention-kernels.ts'
import type { MapKernels } from './map-kernels.ts'
import type { PassKernels } from './pass-kernels.ts'

export type { Reals }

/** What the scores are made of, shared by every attention kernel. */
export interface ScoreTensors {
  /** [batch, heads, queries, dimK] */
  q: Reals
  /** [batch, kvHeads, keys, dimK] */
  k: Reals
  /** addressed by `maskStrides`; bytes for a bool mask, reals for a float mask */
  mask?: Uint8Array | Reals
  /** ALiBi slopes [heads] */
  slopes?: Reals
  /**
   * [batch or 1, heads or 1, queries, 2] (see `intervalStrides`): a row attends only to its own keys [from, to). Within a head neither
   * `from` nor `to` ever decreases from one row to the next: kernels skip rows by bisection. Without it a row attends to all keys.
   */
  intervals?: Int32Array
  /** [batch]: what is added to a row's index to place it among the keys, where that differs */
  shifts?: Int32Array
  /**
   * Where the keys of one row are attended in several passes (`args.earlier` > 0), a pair counts in the first pass that
   * has it: it is masked where earlierIntervals[b, h, e, i] = [from, to) holds earlierRanks[b, kvHead, e, j] for an
   * earlier pass e. Shapes [batch, kvHeads, earlier, keys] and [batch, heads, earlier, queries, 2].
   */
  earlierRanks?: Int32Array
  earlierIntervals?: Int32Array
}

/** out, each when given: [batch, heads, queries, keys] */
export interface AttentionMaps {
  /** q·kᵀ·scale for every pair, whatever the masks and lengths say */
  scores?: Reals
  /** what the softmax sees: after softcap, mask, ALiBi; −∞ wherever not attended */
  maskedScores?: Reals
  /** softmax, before dropout; exactly 0 wherever not attended */
  weights?: Reals
  /** weights after dropout (and its 1/(1−p)) */
  droppedWeights?: Reals
}

export interface AttentionForwardTensors extends ScoreTensors, AttentionMaps {
  /** [batch, kvHeads, keys, dimV] */
  v: Reals
  /** out: [batch, heads, queries, dimV]; zeros where a row attends to nothing */
  output: Reals
  /**
   * out: [batch, heads, queries] = log Σ_j exp(masked score); −∞ where a row attends to nothing. float64 in both sets:
   * weights are computed again from it, and its rounding to float32 would be as large an error as the score's own.
   */
  logsumexp: Float64Array
  /** out, when given: [batch, heads, queries] = −Σ p ln p of the weights before dropout; 0 where nothing is attended */
  entropy?: Reals
}

export interface AttentionMapsTensors extends ScoreTensors, AttentionMaps {
  /** [batch, heads, queries] from the forward kernel */
  logsumexp: Float64Array
}

export interface AttentionBackwardTensors extends ScoreTensors {
  v: Reals
  /** [batch, heads, queries, dimV], [batch, heads, queries], from the forward kernel */
  output: Reals
  logsumexp: Float64Array
  /** [batch, heads, queries], needed when `scalars` is given and its coefficient is not 0 */
  entropy?: Reals
  /** [batch, heads, queries, dimV] = ∂L/∂output; may hold NaN in padding rows and in rows that attend to nothing */
  gradOutput: Reals
  /** [2] = (loss, entropy coefficient λ/R): the loss has a term coefficient·Σ_rows entropy */
  scalars?: Float64Array
  /** work: [parts, batch, heads, queries] = Σ_d output·gradOutput, written by a part's first unit and read by its others */
  delta: Reals
  /** out, each when given: shapes of q, k, v */
  gradQ?: Reals
  /** out, where gradQ is and there are parts: [parts − 1, batch, heads, queries, dimK], to be added to gradQ in order */
  gradQParts?: Reals
  gradK?: Reals
  gradV?: Reals
}

export interface MaskGradientTensors
  extends Omit<AttentionBackwardTensors, 'delta' | 'gradQ' | 'gradQParts' | 'gradK' | 'gradV'> {
  /** out: [maskShape], contiguous: ∂L/∂mask summed over the broadcast axes; 0 where the mask is −∞ */
  gradMask: Reals
}

export interface KernelSet extends LinearAttentionKernels, MapKernels, PassKernels {
  /** Unit = QUERY_TILE query rows of one (batch, head): batch·heads·⌈queries/QUERY_TILE⌉ units, all independent. */
  attentionForward(
    t: AttentionForwardTensors,
    a: AttentionArgs,
    from: number,
    to: number,
    scratch: number,
  ): void
  /** The maps alone, where logsumexp is not that of one forward pass over these scores. The same units as attentionForward. */
  attentionMaps(t: AttentionMapsTensors, a: AttentionArgs, from: number, to: number, scratch: number): void
  /**
   * Unit = KEY_BLOCK keys of one kv head against one query head of its group, numbered
   * (((batch·kvHeads + kvHead)·parts + part)·L + l)·group + member, group = heads/kvHeads, where a part has
   * L = ⌈⌈keys/KEY_BLOCK⌉/parts⌉ key blocks, keyBlock = part·L + l (the last parts may lack some: such a unit does nothing).
   * The units of one (batch, kvHead, part) run in this order, one after the other (they accumulate into gradQ or
   * gradQParts, gradK, gradV); others are independent. l = 0 initialises the part's gradQ and delta of its query head;
   * member 0 initialises the block's gradK and gradV. With keys = 0, L is still 1, so that gradQ is zeroed.
   */
  attentionBackward(
    t: AttentionBackwardTensors,
    a: AttentionArgs,
    from: number,
    to: number,
    scratch: number,
  ): void
  /** Unit = QUERY_TILE rows of maskShape[2] of one (mask batch, mask head): each sums over every (b, h, i) it serves. */
  attentionMaskGradient(
    t: MaskGradientTensors,
    a: MaskGradientArgs,
    from: number,
    to: number,
    scratch: number,
  ): void
}
