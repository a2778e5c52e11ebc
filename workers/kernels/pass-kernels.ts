/**
 * The kernels around attention in passes (see pass-args.ts). Same rules as in
 * kernel-set.ts. P passes, B batch, H heads, G kv heads, N queries, M keys.
 */
import type { BlockArgs, GatherArgs, HashArgs, PassesArgs, RotationArgs } from '../pass-args.ts'
import type { Reals } from './kernel-set.ts'

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
  /** intervals [B, H, N, 2] of block-sparse attention. Unit = one (batch, head). */
  blockIntervals(
    t: { qLengths?: Int32Array; kvLengths?: Int32Array; intervals: Int32Array },
    a: BlockArgs,
    from: number,
    to: number,
  ): void
  /** rotations [rounds, dim, columns], float64 in both sets. Unit = one column of one round. */
  lshRotations(t: { rotations: Float64Array }, a: RotationArgs, from: number, to: number): void
  /** buckets [rounds, rows]; sums in float64. Unit = row of x. The work area: float64 [columns]. */
  lshBuckets(
    t: { x: Reals; rotations: Float64Array; buckets: Int32Array },
    a: HashArgs,
    from: number,
    to: number,
    scratch: number,
  ): void
  /** Writes all of PassTensors. Unit = one (pass, batch, kv head), with the query heads that read it. */
  sortPasses(
    t: PassTensors & {
      /** [P, B, H, N] and [P, B, G, M], for passes by hash */
      qBuckets?: Int32Array
      kBuckets?: Int32Array
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
  /** y[p, h, t] = x[h, order[p, h, t]]. Unit = row of y. */
  gatherRows(t: { x: Reals; order: Int32Array; y: Reals }, a: GatherArgs, from: number, to: number): void
  /** y[h, i] = Σ_p parts[p, h, ranks[p, h, i]], in ascending order of p. Unit = row of y. */
  sumParts(t: { parts: Reals; ranks: Int32Array; y: Reals }, a: GatherArgs, from: number, to: number): void
  /** The softmax over all parts from the softmax over each. Unit = row of output. */
  mergeParts(
    t: {
      outputs: Reals
      logsumexps: Float64Array
      entropies?: Reals
      ranks: Int32Array
      output: Reals
      logsumexp: Float64Array
      entropy?: Reals
    },
    a: GatherArgs,
    from: number,
    to: number,
  ): void
}
