/** The hashes of LSH attention: random rotations, and the buckets of rows in every round. */
import { type Args, data, defineArgs, defineFamily } from '../define-op.ts'

/** Rough operations an element of a rotation takes. */
const ROTATION_FLOPS = 60
/** Measured: a multiplication and an addition of a hash take as long as reading this many bytes of text. */
const HASH_BYTES = 0.02

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
  cost: (a, { units }) => ({ flops: units * ROTATION_FLOPS * a.dim }),
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
  cost: (a, { units }) => {
    const products = a.rounds * columnCount(a) * a.dim
    return { flops: units * 2 * products, bytes: units * (HASH_BYTES * products) }
  },
})

export type RotationArgs = Args<typeof lshRotations>
export type HashArgs = Args<typeof lshBuckets>
