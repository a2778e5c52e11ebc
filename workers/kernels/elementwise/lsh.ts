/**
 * Locality-sensitive hashing by random rotations: vectors that point the same way fall into the same bucket.
 * Sources: Andoni et al. 2015 (cross-polytope LSH); Kitaev, Kaiser and Levskaya 2020 (Reformer), whose hash this is.
 */

import { mix } from '../../ops/dropout.ts'
import type { HashArgs, RotationArgs } from '../../pass-args.ts'
import type { Reals } from '../kernel-set.ts'

/**
 *   rotations[round, d, column] = Σ_{n<4} u_n − 2,   u_n = bits(round, column, d, n)/2³²
 *
 * A sum of four uniform numbers, which is nearly normal and needs no function that machines round differently. The
 * generator is counter-based, on unsigned 32-bit integers, with mix() of dropout's generator:
 *
 *   key = mix(mix(round ^ mix(seedLow)) + mix(seedHigh ^ column))        bits = mix(mix((4·d + n) ^ key) + key)
 *
 * A unit is one column of one round. Writes rotations.
 */
export function lshRotations(
  t: { rotations: Float64Array },
  a: RotationArgs,
  from: number,
  to: number,
): void {
  const columns = columnCount(a)
  for (let unit = from; unit < to; unit++) {
    const round = Math.floor(unit / columns)
    const column = unit % columns
    const key = mix((mix(round ^ mix(a.seedLow)) + mix(a.seedHigh ^ column)) >>> 0)
    for (let d = 0; d < a.dim; d++) {
      let sum = -2
      for (let n = 0; n < 4; n++) sum += mix((mix((4 * d + n) ^ key) + key) >>> 0) / 2 ** 32
      t.rotations[(round * a.dim + d) * columns + column] = sum
    }
  }
}

function columnCount({ factors }: RotationArgs): number {
  return factors.reduce((sum, factor) => sum + factor / 2, 0)
}

/**
 *   digit = argmax [x·R; −x·R],  R the columns of one factor        bucket = the digits as one mixed-radix number
 *
 * for every row of x [rows, dim] and every round → buckets [rounds, rows]. The argmax does not change when x is
 * normalised, so it is not. A factor f takes f/2 columns; several factors give many buckets with few columns. The first
 * of equals wins; a NaN never does. Sums in float64, in ascending order, in both sets: the same buckets everywhere.
 */
export function lshBuckets(
  t: { x: Reals; rotations: Float64Array; buckets: Int32Array },
  a: HashArgs,
  from: number,
  to: number,
): void {
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
