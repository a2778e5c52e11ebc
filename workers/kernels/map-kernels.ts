/**
 * The kernels over maps [batch, heads, queries, keys] that stand beside attention: for streams and pictures. Same rules as
 * in kernel-set.ts.
 */
import type { PoolMapsArgs, QuantiseMapsArgs, TakeHeadsArgs } from '../map-args.ts'
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
  /** Unit = (b, i): one row of y. */
  takeHeads(t: { x: Reals; y: Reals }, a: TakeHeadsArgs, from: number, to: number): void
  /** Unit = query row of [batch, heads, queries]. */
  weightGradient(t: WeightGradientTensors, a: AttentionArgs, from: number, to: number): void
  /** Unit = row of y: maps·⌈rows/block⌉ units. */
  poolMaps(t: { x: Reals; y: Reals }, a: PoolMapsArgs, from: number, to: number): void
  /** Unit = map. y [maps, elements], scale [maps]. */
  quantiseMaps(
    t: { x: Reals; y: Uint8Array; scale: Reals },
    a: QuantiseMapsArgs,
    from: number,
    to: number,
  ): void
}
