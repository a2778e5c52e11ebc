/**
 * The kernels around attention in passes (see pass-args.ts). Same rules as in
 * kernel-set.ts. P passes, B batch, H heads, G kv heads, N queries, M keys.
 */
import type { PassesArgs } from '../pass-args.ts'

export interface PassTensors {
  /** [P, B, G, M]: the key that stands at a rank; padding keys come last */
  keyOrder: Int32Array
  /** [P, B, G, M]: the rank of a key */
  keyRanks: Int32Array
  /** [P, B, H, N] */
  queryOrder: Int32Array
  queryRanks: Int32Array
  /** [P, B, H, N, 2]: the ranks of keys that the query at a rank attends to */
  intervals: Int32Array
}

export interface PassKernels {
  /** Writes all of PassTensors. Unit = one (pass, batch, kv head), with the query heads that read it. */
  sortPasses(
    t: PassTensors & {
      /** [P, B, H, N] and [P, B, G, M], for passes by hash */
      qBuckets?: Int32Array
      kBuckets?: Int32Array
      /** [batch or 1, N, 2]: the keys that each row may attend to by its position */
      positions?: Int32Array
      shifts?: Int32Array
      qLengths?: Int32Array
      kvLengths?: Int32Array
    },
    a: PassesArgs,
    from: number,
    to: number,
  ): void
  /**
   * What the attention kernels need to leave out the pairs of earlier passes, E = P − 1: earlierRanks [P, B, G, E, M],
   * earlierIntervals [P, B, H, E, N, 2]; for a pass that is not earlier the interval is empty. The same units.
   */
  earlierPasses(
    t: PassTensors & { earlierRanks: Int32Array; earlierIntervals: Int32Array },
    a: PassesArgs,
    from: number,
    to: number,
  ): void
  /** mask [B, H, N, M]: 1 for the pairs of any pass. Unit = one (batch, head). */
  passesMask(
    t: Pick<PassTensors, 'keyOrder' | 'queryRanks' | 'intervals'> & { mask: Uint8Array },
    a: PassesArgs,
    from: number,
    to: number,
  ): void
}
