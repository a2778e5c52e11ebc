/**
 * Which rule of a request forbids which pair of a query row and a key. Rules by position are intervals of keys, a rule after the
 * other, as the op `intervals` writes them; beside them a dense mask, segments, and the bounds of packed sequences, which are rules too.
 */
import { type Args, data, defineFamily, price, type Tensors } from '../define-op.ts'

/** A row with its rules, a key of a dense mask that is looked at, and a pair whose bits are written. */
const ROW = price(150)
const KEY = price(1.5)
const PAIR = price(3)

/** Rows that a unit counts. */
export const COUNTED_ROWS = 64

const tensors = {
  /** [rules, intervalBatch, queries, 2]; of packed sequences [rules, all queries, 2], counted within each */
  intervals: 'in?:int32',
  /** bytes, 0 where a pair is forbidden, or reals, −∞ there */
  mask: 'in?:elements',
  /** [batch, queries] and [batch, keys], ids; those of different ids, or of negative ones, are forbidden */
  qSegments: 'in?:int32',
  kvSegments: 'in?:int32',
  /** [sequences + 1] each: pairs of different sequences are forbidden, and no other rule has a say in them */
  cuQ: 'in?:int32',
  cuK: 'in?:int32',
} as const

const args = {
  batch: 'i32',
  /** 1 where all batch elements have the same intervals */
  intervalBatch: 'i32',
  /** those that differ: 1 where the mask is the same for all */
  heads: 'i32',
  queries: 'i32',
  keys: 'i32',
  /** rules that are intervals; behind them, where they are there, come mask, segments and sequences, in this order */
  rules: 'i32',
  /** of the mask, elements between neighbours along [batch, heads, queries, keys] */
  maskStrides: data<number[]>(),
} as const

const family = defineFamily('mask-rules')

/** How many pairs are attended, and of each rule, how many it forbids, and how many it alone does. Unit = COUNTED_ROWS rows. */
export const countPairs = family.define('countPairs', {
  tensors: {
    ...tensors,
    /** [units, 1 + 2·all rules]: attended, then forbidden and forbidden alone for each rule */
    counts: 'out:float64',
    /** [batch, heads, queries]: pairs that each row attends to */
    attended: 'out:float64',
  },
  args,
  units: a => Math.ceil((a.batch * a.heads * a.queries) / COUNTED_ROWS),
  cost: (a, { tensors, precision: p }) => {
    const rows = a.batch * a.heads * a.queries
    const looked = tensors.mask === undefined ? 0 : rows * a.keys
    return { nanoseconds: rows * ROW[p] + looked * KEY[p] + a.batch * a.keys * KEY[p] }
  },
  shared: true,
})

/** The rules that forbid a pair as bits, rule r being 2^r; of all rows, or of the row'th of [batch, heads, queries]. Unit = row. */
export const ruleBits = family.define('ruleBits', {
  tensors: { ...tensors, bits: 'out:elements' },
  args: {
    ...args,
    /** −1: all of them */
    row: 'i32',
  },
  units: a => (a.row < 0 ? a.batch * a.heads * a.queries : 1),
  cost: (a, { units, precision: p }) => ({ nanoseconds: units * (ROW[p] + a.keys * PAIR[p]) }),
  shared: true,
})

export type CountTensors = Tensors<typeof countPairs>
export type BitsTensors = Tensors<typeof ruleBits>
export type RuleArgs = Args<typeof countPairs>
export type BitsArgs = Args<typeof ruleBits>
