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

/** gradTable[bucket, h] = Σ gradBias over the pairs of a head whose distance is in the bucket, in float64. A unit is a bucket. */
export function bucketSums(
  { gradBias, shifts, gradTable }: Tensors<typeof op.bucketSums>,
  a: Args<typeof op.bucketSums>,
  from: number,
  to: number,
): void {
  for (let bucket = from; bucket < to; bucket++) {
    // a bucket of one direction is a run of distances
    let [begin, end] = [0, 0]
    for (let x = 0; x < a.distances; x++) {
      if (bucketOf(a.firstDistance + x, a) !== bucket) continue
      if (end === 0) begin = x
      end = x + 1
    }
    for (let h = 0; h < a.heads; h++) {
      let sum = 0
      for (let b = 0; b < a.batch; b++) {
        const shift = shifts?.[b] ?? a.shift
        for (let i = 0; i < a.queries; i++) {
          const key0 = i + shift + a.firstDistance
          const row = ((b * a.heads + h) * a.queries + i) * a.keys
          const last = Math.min(a.keys, key0 + end)
          for (let j = Math.max(0, key0 + begin); j < last; j++) sum += gradBias[row + j]
        }
      }
      gradTable[bucket * a.heads + h] = sum
    }
  }
}
