/**
 * Sparse attention as passes: what its kernels are asked to do. Part of the contract between the threads, like task.ts:
 * data only.
 *
 * A pass puts the keys into buckets and sorts them by (bucket, position); the queries likewise. In that order what a
 * query attends to is an interval of keys, which the attention kernels take as `intervals`. A pattern has one pass
 * or several; a pair counts in the first pass that has it, and the passes' softmaxes are merged into the exact softmax
 * over the union of their pairs. The passes stand side by side in the batch axis: [passes·batch, …].
 */
import type { AttentionArgs } from './task.ts'

export interface Pass {
  /**
   * What bucket a position is in: one for all (`whole`), j mod buckets for a key and aligned i mod buckets for a query
   * (`residue`), or what `kBuckets` and `qBuckets` say (`hash`)
   */
  by: 'whole' | 'residue' | 'hash'
  buckets: number
  /** attend only to the chunk of so many sorted keys that the query falls into, and its neighbours; 0 = no chunks */
  chunk: number
  /** attend only to keys with |aligned i − j| ≤ reach; −1 = any */
  reach: number
}

/** The shapes of the attention that the passes approximate, before they are folded into its batch. */
export interface PassesArgs
  extends Pick<
    AttentionArgs,
    'batch' | 'heads' | 'kvHeads' | 'queries' | 'keys' | 'intervalStrides' | 'shift'
  > {
  passes: Pass[]
}
