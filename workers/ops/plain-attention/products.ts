/** Products of one row with many, each summed in float32 from the first term to the last. */
import type { Reals } from '../define-op.ts'

const f = Math.fround

/** Keys of a row that are attended, the first `count` of `keys`. */
export interface KeyList {
  keys: Int32Array
  count: number
}

/**
 * into[j] = Σ_d x[at + d]·y[first + j·dim + d] for every key j of the list. Four at a time: an addition waits for the one before it, but
 * not for those of other sums.
 */
export function rowProducts(
  x: Reals,
  at: number,
  y: Reals,
  first: number,
  dim: number,
  { keys, count }: KeyList,
  into: Float32Array,
): void {
  let n = 0
  for (; n + 4 <= count; n += 4) {
    const [j0, j1, j2, j3] = [keys[n], keys[n + 1], keys[n + 2], keys[n + 3]]
    const [a0, a1, a2, a3] = [first + j0 * dim, first + j1 * dim, first + j2 * dim, first + j3 * dim]
    let [s0, s1, s2, s3] = [0, 0, 0, 0]
    for (let d = 0; d < dim; d++) {
      const factor = x[at + d]
      s0 = f(s0 + factor * y[a0 + d])
      s1 = f(s1 + factor * y[a1 + d])
      s2 = f(s2 + factor * y[a2 + d])
      s3 = f(s3 + factor * y[a3 + d])
    }
    into[j0] = s0
    into[j1] = s1
    into[j2] = s2
    into[j3] = s3
  }
  for (; n < count; n++) {
    const start = first + keys[n] * dim
    let sum = 0
    for (let d = 0; d < dim; d++) sum = f(sum + x[at + d] * y[start + d])
    into[keys[n]] = sum
  }
}
