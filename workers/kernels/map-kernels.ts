/** The kernel over maps [batch, heads, queries, keys] that stands beside attention. Same rules as in kernel-set.ts. */
import type { AttentionArgs } from '../task.ts'
import type { Reals } from './kernel-set.ts'

export interface WeightGradientTensors {
  /** [batch, heads, queries, keys]: gradOutput·v, or −∞ where not attended if `maskedScores` is not given */
  products: Reals
  /** [batch, heads, queries, keys] from attentionMaps: −∞ where not attended; needed for the entropy term */
  maskedScores?: Reals
  /** [batch, heads, queries] from the forward kernel, needed for the entropy term */
  logsumexp?: Float64Array
  /** [2] = (loss, entropy coefficient) */
  scalars?: Float64Array
  /** out: [batch, heads, queries, keys]; may be `products` itself */
  gradWeights: Reals
}

export interface MapKernels {
  /** Unit = query row of [batch, heads, queries]. */
  weightGradient(t: WeightGradientTensors, a: AttentionArgs, from: number, to: number): void
}
