/** T5's relative position bias: a number for each bucket of distances and head, added to the scores. Raffel et al. 2020. */
import { defineArgs, defineFamily, price } from '../define-op.ts'

const ENTRY = price(15)
const SUM = price(2)

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

/** gradTable [buckets, heads] from the gradients of the distances' biases. Unit = head. */
export const bucketSums = family.define('bucketSums', {
  tensors: {
    /** [parts, heads, distances], to be added up */
    gradDistances: 'in:float64',
    gradTable: 'out',
  },
  args: { ...args, parts: 'i32' },
  units: a => a.heads,
  cost: (a, { units, precision: p }) => ({
    flops: units * a.parts * a.distances,
    nanoseconds: units * (a.buckets + a.distances * (ENTRY[p] + a.parts * SUM[p])),
  }),
  shared: true,
})
