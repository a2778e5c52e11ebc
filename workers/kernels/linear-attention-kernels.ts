/**
 * The kernels of linear attention. Same rules as in kernel-set.ts. φ(x) = elu(x) + 1 = x + 1 for x > 0, eˣ otherwise.
 *
 *   output_i = Σ_j (φ(q_i)·φ(k_j)) v_j / Σ_j φ(q_i)·φ(k_j)      over the keys j that row i attends to
 *            = φ(q_i)ᵀS_i / φ(q_i)ᵀz_i,   S_i = Σ_j φ(k_j)v_jᵀ,   z_i = Σ_j φ(k_j)
 *
 * so that no pair of positions need be looked at: S and z are summed chunk by chunk, and only within the chunk in which
 * a row's keys end (causal) are pairs formed. All of it is O((N + M)·d_k·d_v).
 */
import type { LinearAttentionArgs, LinearStateArgs } from '../linear-attention-args.ts'
import type { Reals } from './kernel-set.ts'

export interface Masked {
  /** [batch or 1, queries, 2]: the keys [0, to) that a row attends to; [keys, keys) of padding rows. Without it all keys */
  intervals?: Int32Array
}

export interface LinearForwardTensors extends Masked {
  /** [batch, heads, queries, dimK], [batch, kvHeads, keys, dimK], [batch, kvHeads, keys, dimV] */
  q: Reals
  k: Reals
  v: Reals
  /** from `linearStateSums` of the keys */
  sums: Reals
  /** out: [batch, heads, queries, dimV]; zeros where a row attends to nothing */
  output: Reals
  /** out: [batch, heads, queries] = φ(q)ᵀz; 0 where a row attends to nothing */
  normaliser: Reals
}

export interface LinearBackwardTensors extends Masked {
  q: Reals
  k: Reals
  v: Reals
  /** from `linearAttentionDelta` */
  scaled: Reals
  gradNormaliser: Reals
  sums: Reals
}

export interface LinearAttentionKernels {
  /**
   * states [batch, heads of the side, chunks, stateLength]: S = Σ φ(x_r)·y_rᵀ [dimK, dimV] and z = Σ φ(x_r)·w_r [dimK]
   * over the rows of one chunk that are no padding. Keys: x = k, y = v, w = 1. Queries: x = q, y = scaled, w =
   * gradNormaliser, over the rows that attend to something. Unit = one chunk.
   */
  linearStates(
    t: { x: Reals; y: Reals; w?: Reals; states: Reals } & Masked,
    a: LinearStateArgs,
    from: number,
    to: number,
    scratch: number,
  ): void
  /**
   * sums [batch, kvHeads, stateSums, stateLength]. Keys, causal: sums[c] = Σ of the states before chunk c. Queries, causal:
   * sums[c] = Σ of the states from chunk c on, over all heads of the group. Not causal: the total. In float64.
   * Unit = one (batch, kv head).
   */
  linearStateSums(t: { states: Reals; sums: Reals }, a: LinearStateArgs, from: number, to: number): void
  /** Unit = LINEAR_CHUNK query rows of one (batch, head). */
  linearAttentionForward(
    t: LinearForwardTensors,
    a: LinearAttentionArgs,
    from: number,
    to: number,
    scratch: number,
  ): void
  /** scaled = gradOutput/normaliser, gradNormaliser = −(gradOutput·output)/normaliser. Unit = query row. */
  linearAttentionDelta(
    t: { output: Reals; gradOutput: Reals; normaliser: Reals; scaled: Reals; gradNormaliser: Reals },
    a: LinearAttentionArgs,
    from: number,
    to: number,
    scratch: number,
  ): void
  /** sums of the keys' states. Writes gradQ. Unit = LINEAR_CHUNK query rows of one (batch, head). */
  linearAttentionBackwardQuery(
    t: LinearBackwardTensors & { gradQ: Reals },
    a: LinearAttentionArgs,
    from: number,
    to: number,
    scratch: number,
  ): void
  /** sums of the queries' states. Writes gradK, gradV, where given. Unit = LINEAR_CHUNK keys of one (batch, kv head). */
  linearAttentionBackwardKey(
    t: LinearBackwardTensors & { gradK?: Reals; gradV?: Reals },
    a: LinearAttentionArgs,
    from: number,
    to: number,
    scratch: number,
  ): void
}
