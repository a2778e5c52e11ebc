/**
 * What the kernels over maps are asked to do: choosing heads, thumbnails, and the gradient of the weights.
 * Part of the contract between the threads, like task.ts: data only.
 */

/** y[b, i] = x[b, chosen[i]] for rows of `width` elements: x [batch, heads, width], y [batch, chosen.length, width]. */
export interface TakeHeadsArgs {
  batch: number
  heads: number
  chosen: number[]
  width: number
}

/** x [maps, rows, columns] → y [maps, ⌈rows/block⌉, ⌈columns/block⌉], one element a block × block square (cut off at the edges). */
export interface PoolMapsArgs {
  maps: number
  rows: number
  columns: number
  block: number
  pool: 'max' | 'mean'
}

/** x [maps, elements] → bytes, with one scale a map. */
export interface QuantiseMapsArgs {
  maps: number
  elements: number
  /** whether x may be negative */
  signed: boolean
}
