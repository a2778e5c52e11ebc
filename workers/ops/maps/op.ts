/** What is done with maps [batch, heads, queries, keys] and rows: choosing heads, thumbnails, largest elements. */
import { type Args, data, defineFamily, oneOf, price } from '../define-op.ts'

const COPIED = price(0.4)
const POOLED = price(2)
const QUANTISED = price(3)
const COMPARED = price(1)

const family = defineFamily('maps')

/**
 * y[b, i] = x[b, chosen[i]] for rows of `width` elements: x [batch, heads, width], y [batch, chosen.length, width], of one
 * element type. Unit = (b, i): one row of y.
 */
export const takeHeads = family.define('takeHeads', {
  tensors: { x: 'in:reals', y: 'out:reals' },
  args: { batch: 'i32', heads: 'i32', chosen: data<number[]>(), width: 'i32' },
  units: a => a.batch * a.chosen.length,
  cost: (a, { units, precision: p }) => ({
    flops: units * a.width,
    nanoseconds: units * a.width * COPIED[p],
  }),
  shared: true,
})

/**
 * x [maps, rows, columns] → y [maps, ⌈rows/block⌉, ⌈columns/block⌉], one element a block × block square (cut off at the
 * edges). Unit = row of y.
 */
export const poolMaps = family.define('poolMaps', {
  tensors: { x: 'in', y: 'out' },
  args: { maps: 'i32', rows: 'i32', columns: 'i32', block: 'i32', pool: oneOf('max', 'mean') },
  units: a => a.maps * Math.ceil(a.rows / a.block),
  cost: (a, { units, precision: p }) => {
    const elements = units * a.block * a.columns
    return { flops: elements, nanoseconds: elements * POOLED[p] }
  },
  shared: true,
})

/** x [maps, elements] → bytes, with one scale a map: y [maps, elements], scale [maps]. Unit = map. */
export const quantiseMaps = family.define('quantiseMaps', {
  tensors: { x: 'in', y: 'out:uint8', scale: 'out' },
  args: {
    maps: 'i32',
    elements: 'i32',
    /** whether x may be negative */
    signed: 'flag',
  },
  units: a => a.maps,
  cost: (a, { precision: p }) => {
    const elements = a.maps * Math.max(1, a.elements)
    return { flops: elements, nanoseconds: elements * QUANTISED[p] }
  },
  shared: true,
})

export type TakeHeadsArgs = Args<typeof takeHeads>
export type PoolMapsArgs = Args<typeof poolMaps>
export type QuantiseMapsArgs = Args<typeof quantiseMaps>

/** y[c] = max over parts and rows of x [parts, count, rows]; −∞ of none. Unit = element of y. */
export const headMaxima = family.define('headMaxima', {
  tensors: { x: 'in', y: 'out' },
  args: { parts: 'i32', count: 'i32', rows: 'i32' },
  units: a => a.count,
  cost: (a, { units, precision: p }) => ({ nanoseconds: units * a.parts * a.rows * COMPARED[p] }),
  shared: true,
})
