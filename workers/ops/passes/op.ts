/**
 * Sparse attention as passes: the order of each pass, rows into that order and back, and what the passes found, merged.
 *
 * A pass puts the keys into buckets and sorts them by (bucket, position); the queries likewise. In that order what a
 * query attends to is an interval of keys, which the attention kernels take as `intervals`. A pattern has one pass
 * or several; a pair counts in the first pass that has it, and the passes' softmaxes are merged into the exact softmax
 * over the union of their pairs. The passes stand side by side in the batch axis: [passes·batch, …].
 */
import { type Args, type ArgsOf, data, defineArgs, defineFamily, price } from '../define-op.ts'

/** An index that is sorted, a bucket, an index that is put into another order; a pair of a mask. */
const SORTED = price(25)
const BUCKET = price(1.2)
const REORDERED = price(1.6)
const MASKED = price(1)
/** A row that is gathered, of those that are summed or merged, and its elements. */
const GATHERED = { row: price(3, 6), element: price(0.06, 1) }
const SUMMED = { row: price(5, 12), element: price(0.13, 1.1) }
const MERGED = { row: price(25), element: price(1.6) }

export interface Pass {
  /**
   * What bucket a position is in: one for all (`whole`), j mod buckets for a key and aligned i mod buckets for a query
   * (`residue`), or what `kBuckets` and `qBuckets` say (`hash`)
   */
  by: 'whole' | 'residue' | 'hash'
  buckets: number
  /** attend only to the chunk of this many sorted keys that the query falls into, and its neighbours; 0 = no chunks */
  chunk: number
  /** attend only to keys with |aligned i − j| ≤ reach; −1 = any */
  reach: number
}

const family = defineFamily('passes')

/** The shapes of the attention that the passes approximate, before they are folded into its batch. */
const shapes = defineArgs({
  batch: 'i32',
  heads: 'i32',
  kvHeads: 'i32',
  queries: 'i32',
  keys: 'i32',
  /** rows of `positions` between neighbours along [batch, heads]; 0 where they share them */
  intervalStrides: data<[number, number]>(),
  /** what is added to a row's index to place it among the keys, where no tensor `shifts` says it */
  shift: 'i32',
  passes: data<Pass[]>(),
})

type Shapes = ArgsOf<typeof shapes>

/** Keys and queries of one unit: a (pass, batch, kv head) with the query heads that read it. */
function indices({ keys, heads, kvHeads, queries }: Shapes): number {
  return keys + (heads / kvHeads) * queries
}

function passUnits({ passes, batch, kvHeads }: Shapes): number {
  return passes.length * batch * kvHeads
}

/**
 * The order of every pass. P passes, B batch, H heads, G kv heads, N queries, M keys. Unit = one (pass, batch, kv head), with
 * the query heads that read it.
 */
export const sortPasses = family.define('sortPasses', {
  tensors: {
    /** [P, B, H, N] and [P, B, G, M], for passes by hash */
    qBuckets: 'in?:int32',
    kBuckets: 'in?:int32',
    /** [batch or 1, N, 2]: the keys that each row may attend to by its position */
    positions: 'in?:int32',
    /** [B] each */
    shifts: 'in?:int32',
    qLengths: 'in?:int32',
    kvLengths: 'in?:int32',
    /** [P, B, G, M]: the key that stands at a rank, padding keys last; and the rank of a key */
    keyOrder: 'out:int32',
    keyRanks: 'out:int32',
    /** [P, B, H, N] */
    queryOrder: 'out:int32',
    queryRanks: 'out:int32',
    /** [P, B, H, N, 2]: the ranks of keys that the query at a rank attends to */
    intervals: 'out:int32',
  },
  args: shapes,
  units: passUnits,
  cost: (a, { units, precision: p }) => {
    if (units === 0) return { nanoseconds: 0 }
    let buckets = 0
    for (const pass of a.passes) buckets += pass.buckets
    const lists = (units / a.passes.length) * (1 + a.heads / a.kvHeads)
    return { nanoseconds: units * indices(a) * SORTED[p] + lists * buckets * BUCKET[p] }
  },
  shared: true,
})

/**
 * What the attention kernels need to leave out the pairs of earlier passes, E = P − 1: earlierRanks [P, B, G, E, M],
 * earlierIntervals [P, B, H, E, N, 2]; for a pass that is not earlier the interval is empty. The same units.
 */
export const earlierPasses = family.define('earlierPasses', {
  tensors: {
    keyOrder: 'in:int32',
    keyRanks: 'in:int32',
    queryOrder: 'in:int32',
    queryRanks: 'in:int32',
    intervals: 'in:int32',
    earlierRanks: 'out:int32',
    earlierIntervals: 'out:int32',
  },
  args: shapes,
  units: passUnits,
  cost: (a, { units, precision: p }) => ({
    nanoseconds: units > 0 ? units * (a.passes.length - 1) * indices(a) * REORDERED[p] : 0,
  }),
  shared: true,
})

/** mask [B, H, N, M]: 1 for the pairs of any pass. Unit = one (batch, head). */
export const passesMask = family.define('passesMask', {
  tensors: { keyOrder: 'in:int32', queryRanks: 'in:int32', intervals: 'in:int32', mask: 'out:uint8' },
  args: shapes,
  units: a => a.batch * a.heads,
  cost: (a, { units, precision: p }) => ({ nanoseconds: units * a.queries * a.keys * MASKED[p] }),
  shared: true,
})

const args = defineArgs({
  parts: 'i32',
  /** batch·heads */
  heads: 'i32',
  rows: 'i32',
  dim: 'i32',
})

/**
 * y[p, h, t] = x[h, order[p, h, t]]: rows of x [heads, rows, dim] in the order of `order` [parts, heads, rows] → y [parts,
 * heads, rows, dim]. Unit = row of y.
 */
export const gatherRows = family.define('gatherRows', {
  tensors: { x: 'in:reals', order: 'in:int32', y: 'out:reals' },
  args,
  words: { rowBytes: { type: 'i32', of: (a, t) => a.dim * t.x.BYTES_PER_ELEMENT } },
  units: a => a.parts * a.heads * a.rows,
  cost: (a, { units, precision: p }) => ({
    nanoseconds: units * (GATHERED.row[p] + a.dim * GATHERED.element[p]),
  }),
})

/** y[h, i] = Σ_p x[p, h, ranks[p, h, i]], in ascending order of p. Unit = row of y. */
export const sumParts = family.define('sumParts', {
  tensors: { x: 'in', ranks: 'in:int32', y: 'out' },
  args,
  units: a => a.heads * a.rows,
  cost: (a, { units, precision: p }) => ({
    flops: units * a.parts * a.dim,
    nanoseconds: units * a.parts * (SUMMED.row[p] + a.dim * SUMMED.element[p]),
  }),
})

/** The softmax over all parts from the softmax over each. Unit = row of output. */
export const mergeParts = family.define('mergeParts', {
  tensors: {
    outputs: 'in',
    /** [parts, heads, rows, 2], as attentionForward writes it */
    denominators: 'in:float64',
    entropies: 'in?',
    ranks: 'in:int32',
    output: 'out',
    /** [heads, rows, 2] and [heads, rows] */
    denominator: 'out:float64',
    logsumexp: 'out:float64',
    entropy: 'out?',
  },
  args,
  units: a => a.heads * a.rows,
  cost: (a, { units, precision: p }) => ({
    flops: units * 2 * a.parts * a.dim,
    nanoseconds: units * a.parts * (MERGED.row[p] + a.dim * MERGED.element[p]),
  }),
  shared: true,
})

export type PassesArgs = Args<typeof sortPasses>
export type GatherArgs = Args<typeof gatherRows>
