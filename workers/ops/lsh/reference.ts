/**
 * Locality-sensitive hashing by random rotations: vectors that point the same way fall into the same bucket.
 * Sources: Andoni et al. 2015 (cross-polytope LSH); Kitaev, Kaiser and Levskaya 2020 (Reformer), whose hash this is.
 */

import type { Reals, Tensors } from '../define-op.ts'
import type * as op from './op.ts'
import { columnCount, type HashArgs } from './op.ts'

/**
 *   digit = argmax [x·R; −x·R],  R the columns of one factor        bucket = the digits as one mixed-radix number
 *
 * for every row of x [rows, dim] and every round → buckets [rounds, rows]. The argmax does not change when x is
 * normalised, so it is not. A factor f takes f/2 columns; several factors give many buckets with few columns. The first
 * of equals wins; a NaN never does. Sums in float64, in ascending order, in both sets: the same buckets everywhere.
 */
export function lshBuckets(t: Tensors<typeof op.lshBuckets>, a: HashArgs, from: number, to: number): void {
  const columns = columnCount(a)
  const products = new Float64Array(columns)
  for (let row = from; row < to; row++) {
    for (let round = 0; round < a.rounds; round++) {
      project(t.x, row, t.rotations, round * a.dim * columns, columns, a.dim, products)
      let bucket = 0
      let first = 0
      for (const factor of a.factors) {
        bucket = bucket * factor + digit(products, first, factor / 2)
        first += factor / 2
      }
      t.buckets[round * a.rows + row] = bucket
    }
  }
}

/** products[c] = Σ_d x[row, d]·rotations[first + d·columns + c]. */
function project(
  x: Reals,
  row: number,
  rotations: Float64Array,
  first: number,
  columns: number,
  dim: number,
  products: Float64Array,
): void {
  products.fill(0)
  for (let d = 0; d < dim; d++) {
    const value = x[row * dim + d]
    const at = first + d * columns
    for (let c = 0; c < columns; c++) products[c] += value * rotations[at + c]
  }
}

function digit(products: Float64Array, first: number, half: number): number {
  let best = 0
  let largest = products[first]
  for (let sign = 1, base = 0; sign >= -1; sign -= 2, base += half) {
    for (let c = 0; c < half; c++) {
      if (sign * products[first + c] > largest) {
        largest = sign * products[first + c]
        best = base + c
      }
    }
  }
  return best
}
