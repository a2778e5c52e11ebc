/** T5's relative position bias: a number for each bucket of distances and head, added to the scores. Raffel et al. 2020. */
import { defineArgs, defineFamily, price } from '../define-op.ts'

const ENTRY = price(15)
const PAIR = price(20)

const family = defineFamily('relative-bias')

const args = defineArgs({
  heads: 'i32',
  buckets: 'i32',
  /** distances from here on share the last bucket */
  maxDistance: 'i32',
  bidirectional: 'flag',
  /** distances j − aligned i: the first, and how many from there on */
  firstDistance: 'i32',
  distances: 'i32',
})

/** biases [heads, distances] from table [buckets, heads]. Unit = head. */
export const distanceBiases = family.define('distanceBiases', {
  tensors: { table: 'in', biases: 'out' },
  args,
  units: a => a.heads,
  cost: (a, { units, precision: p }) => ({ nanoseconds: units * a.distances * ENTRY[p] }),
  shared: true,
})

/** gradTable [buckets, heads] from the gradient of a bias for every pair. Unit = bucket. */
export const bucketSums = family.define('bucketSums', {
  tensors: {
    /** [batch, heads, queries, keys] */
    gradBias: 'in',
    /** [batch], what is added to a row's index to place it among the keys, where it is not `shift` */
    shifts: 'in?:int32',
    gradTable: 'out',
  },
  args: { ...args, batch: 'i32', queries: 'i32', keys: 'i32', shift: 'i32' },
  units: a => a.buckets,
  cost: (a, { precision: p }) => {
    const rows = a.batch * a.heads * a.queries
    return { flops: rows * a.keys, nanoseconds: (a.buckets * rows + rows * a.keys) * PAIR[p] }
  },
  shared: true,
})
