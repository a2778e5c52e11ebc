/** Rows into the order of a pass and back, and the merging of what the passes found (pass-args.ts says what a pass is). */
import { type Args, defineArgs, defineFamily } from '../define-op.ts'

/** Measured: an element that is gathered, or merged, takes as long as so many bytes of text. */
const GATHER_BYTES = 0.05
const MERGE_BYTES = 0.25
/** What a row to be merged costs beside its elements, in elements. */
const MERGE_ROW = 16

const family = defineFamily('passes')

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
  cost: (a, { units }) => ({ bytes: units * (GATHER_BYTES * a.dim) }),
})

/** y[h, i] = Σ_p x[p, h, ranks[p, h, i]], in ascending order of p. Unit = row of y. */
export const sumParts = family.define('sumParts', {
  tensors: { x: 'in', ranks: 'in:int32', y: 'out' },
  args,
  units: a => a.heads * a.rows,
  cost: (a, { units }) => ({
    flops: units * a.parts * a.dim,
    bytes: units * (GATHER_BYTES * a.parts * a.dim),
  }),
})

/** The softmax over all parts from the softmax over each. Unit = row of output. */
export const mergeParts = family.define('mergeParts', {
  tensors: {
    outputs: 'in',
    logsumexps: 'in:float64',
    entropies: 'in?',
    ranks: 'in:int32',
    output: 'out',
    logsumexp: 'out:float64',
    entropy: 'out?',
  },
  args,
  units: a => a.heads * a.rows,
  cost: (a, { units }) => ({
    flops: units * 2 * a.parts * a.dim,
    bytes: units * (MERGE_BYTES * a.parts * (a.dim + MERGE_ROW)),
  }),
  shared: true,
})

export type GatherArgs = Args<typeof gatherRows>
