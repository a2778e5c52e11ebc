/** The strides of tiles of scores, in bytes. */
import { FORWARD_BLOCK, KEY_BLOCK, PANEL_ROWS, QUERY_TILE, TILE_COLUMNS } from '../generated/layout'
import { NR } from './lanes'

export { FORWARD_BLOCK, KEY_BLOCK, QUERY_TILE }

/**
 * From one row of a tile to the next; a constant, so that six of its rows are reached from one pointer. No multiple of 512:
 * rows that far apart would share a few sets of the cache.
 */
export const TILE_ROW: usize = <usize>TILE_COLUMNS << 2

/** From one panel of a block's rows to the next; for the same reason not 128 rows. */
export const PANEL: usize = <usize>PANEL_ROWS * (NR * 4)

/** row[begin … end) = value. */
export function fill(row: usize, begin: i32, end: i32, value: f32): void {
  for (let j = begin; j < end; ++j) store<f32>(row + (<usize>j << 2), value)
}
