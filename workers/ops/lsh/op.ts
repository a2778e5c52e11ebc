/** The hashes of LSH attention: random rotations, and the buckets of rows in every round. */
import { type Args, data, defineArgs, defineFamily, price } from '../define-op.ts'

/** Rough operations an element of a rotation takes. */
const ROTATION_FLOPS = 60
const ROTATED = price(12)
/** Of a hash: a multiplication with an addition, and a sum that is compared. */
const HASHED = price(0.12, 3.8)
const COMPARED = price(1)

const family = defineFamily('lsh')

/** Random directions for hashing: [rounds, dim, columns], columns = Σ factor/2. */
const rotation = defineArgs({
  rounds: 'i32',
  dim: 'i32',
  /** one or two, each even: a bucket is a mixed-radix number with a digit for each */
  factors: data<number[]>(),
  seedLow: 'u32',
  seedHigh: 'u32',
})

/** Columns of one round. */
export function columnCount({ factors }: { factors: number[] }): number {
  return factors.reduce((sum, factor) => sum + factor / 2, 0)
}

/** rotations [rounds, dim, columns], float64 whatever the precision. Unit = one column of one round. */
export const lshRotations = family.define('lshRotations', {
  tensors: { rotations: 'out:float64' },
  args: rotation,
  units: a => a.rounds * columnCount(a),
  cost: (a, { units, precision: p }) => ({
    flops: units * ROTATION_FLOPS * a.dim,
    nanoseconds: units * a.dim * ROTATED[p],
  }),
  shared: true,
})

/** buckets [rounds, rows] of the rows of x [rows, dim]; sums in float64. Unit = row of x. */
export const lshBuckets = family.define('lshBuckets', {
  tensors: { x: 'in', rotations: 'in:float64', buckets: 'out:int32' },
  args: { ...rotation, rows: 'i32' },
  words: {
    columns: { type: 'i32', of: columnCount },
    factor0: { type: 'i32', of: a => a.factors[0] },
    factor1: { type: 'i32', of: a => a.factors[1] ?? 0 },
  },
  areas: { products: a => 8 * columnCount(a) },
  units: a => a.rows,
  cost: (a, { units, precision: p }) => {
    const sums = a.rounds * columnCount(a)
    const products = sums * a.dim
    return {
      flops: units * 2 * products,
      nanoseconds: units * (products * HASHED[p] + sums * COMPARED[p]),
    }
  },
})

export type RotationArgs = Args<typeof lshRotations>
export type HashArgs = Args<typeof lshBuckets>
