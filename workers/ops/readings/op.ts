/** What is read off maps of attention: figures of a head, its strongest keys, and what a row owes to each token through all layers. */
import { type Args, defineFamily, price, type Tensors } from '../define-op.ts'

const PAIR = price(2.5)
const ROW = price(40)
const KEY = price(3)

/** Figures of a head: the rows that count, then the means over them in the order of FIGURES. */
export const FIGURE_COUNT = 8

const family = defineFamily('readings')

/**
 * figures [heads, FIGURE_COUNT] of weights [batch, heads, positions, positions]: how many rows count (real ones that attend to something),
 * and over those the means of entropy in nats, Σ w·|i − j|, and the weight on the token before, the first one, the row itself, special
 * tokens, and tokens that follow an earlier copy of the row's own. Unit = head.
 */
export const headFigures = family.define('headFigures', {
  tensors: {
    weights: 'in',
    /** [batch, positions] each */
    ids: 'in:int32',
    real: 'in:int32',
    special: 'in:int32',
    figures: 'out:float64',
  },
  args: { batch: 'i32', heads: 'i32', positions: 'i32' },
  units: a => a.heads,
  cost: (a, { units, precision: p }) => {
    const rows = units * a.batch * a.positions
    return { flops: 6 * rows * a.positions, nanoseconds: rows * (ROW[p] + a.positions * 2 * PAIR[p]) }
  },
  shared: true,
})

/** The `top` largest of a row of keys, the largest first: their indices and their weights. Unit = row. */
export const topKeys = family.define('topKeys', {
  tensors: { weights: 'in', indices: 'out:float64', strongest: 'out' },
  args: { rows: 'i32', keys: 'i32', top: 'i32' },
  units: a => a.rows,
  cost: (a, { units, precision: p }) => ({ nanoseconds: units * (ROW[p] + a.keys * KEY[p]) }),
  shared: true,
})

/**
 * One layer of attention rollout (Abnar & Zuidema 2020), from the last on: y[b] = v[b]·(½·mean over heads of W[b] + ½·I). v, y
 * [batch, positions]. Unit = b.
 */
export const rolloutRow = family.define('rolloutRow', {
  tensors: { weights: 'in', v: 'in', y: 'out' },
  args: { batch: 'i32', heads: 'i32', positions: 'i32' },
  units: a => a.batch,
  cost: (a, { units, precision: p }) => {
    const pairs = units * a.heads * a.positions ** 2
    return { flops: 2 * pairs, nanoseconds: pairs * PAIR[p] }
  },
  shared: true,
})

/** y[b, j] = sum[b, j] + Σ over heads of max(0, W·∂W) in row chosen[b] (Chefer et al. 2021). Unit = b. */
export const gradientRow = family.define('gradientRow', {
  tensors: { weights: 'in', gradients: 'in', sum: 'in?', chosen: 'in:int32', y: 'out' },
  args: { batch: 'i32', heads: 'i32', positions: 'i32' },
  units: a => a.batch,
  cost: (a, { units, precision: p }) => {
    const pairs = units * (a.heads + 1) * a.positions
    return { flops: 2 * pairs, nanoseconds: pairs * PAIR[p] }
  },
  shared: true,
})

export type FiguresArgs = Args<typeof headFigures>
export type FiguresTensors = Tensors<typeof headFigures>
