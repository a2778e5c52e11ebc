/** T5's buckets, the biases of all distances, and the gradient of the table. */
import type { Args, Tensors } from '../define-op.ts'
import type * as op from './op.ts'

type Buckets = Pick<Args<typeof op.distanceBiases>, 'buckets' | 'maxDistance' | 'bidirectional'>

/**
 * The bucket of a distance d = j − i: half of the buckets (all of them, where only keys before i count) for |d|, the first half of
 * those one a distance, the others ever wider up to maxDistance; with `bidirectional` the second half is for keys after i.
 * The logarithm is taken in float32, as transformers does, so that a distance at a bucket's edge falls into the same one.
 * Source: T5Attention._relative_position_bucket of transformers; Raffel et al. 2020.
 */
export function bucketOf(distance: number, a: Buckets): number {
  const count = a.bidirectional ? Math.floor(a.buckets / 2) : a.buckets
  const first = a.bidirectional && distance > 0 ? count : 0
  const away = a.bidirectional ? Math.abs(distance) : Math.max(0, -distance)
  const exact = Math.floor(count / 2)
  if (away < exact) return first + away
  const f = Math.fround
  const part = f(f(Math.log(f(away / exact))) / f(Math.log(a.maxDistance / exact)))
  return first + Math.min(count - 1, exact + Math.trunc(f(part * (count - exact))))
}

/** biases[h, x] = table[bucket(firstDistance + x), h]. A unit is a head. */
export function distanceBiases(
  { table, biases }: Tensors<typeof op.distanceBiases>,
  a: Args<typeof op.distanceBiases>,
  from: number,
  to: number,
): void {
  for (let h = from; h < to; h++) {
    for (let x = 0; x < a.distances; x++) {
      biases[h * a.distances + x] = table[bucketOf(a.firstDistance + x, a) * a.heads + h]
    }
  }
}

/** gradTable[bucket, h] = Σ gradDistances over the parts and the distances in the bucket, in float64. A unit is a head. */
export function bucketSums(
  { gradDistances, gradTable }: Tensors<typeof op.bucketSums>,
  a: Args<typeof op.bucketSums>,
  from: number,
  to: number,
): void {
  for (let h = from; h < to; h++) {
    const sums = new Float64Array(a.buckets)
    for (let x = 0; x < a.distances; x++) {
      const bucket = bucketOf(a.firstDistance + x, a)
      for (let part = 0; part < a.parts; part++) {
        sums[bucket] += gradDistances[(part * a.heads + h) * a.distances + x]
      }
    }
    for (let bucket = 0; bucket < a.buckets; bucket++) gradTable[bucket * a.heads + h] = sums[bucket]
  }
}
