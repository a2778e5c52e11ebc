/** The sizes of attention's score tiles, beside what all kernels know of the lanes. */
import { NR } from '../../../wasm/assembly/lanes'

export { MR, NR, madd, sumLanes } from '../../../wasm/assembly/lanes'

/** Query rows of a score tile (`QUERY_TILE` of the task contract): four row groups of a register tile. */
export const TILE: i32 = 24

/** Keys of a score tile (`KEY_BLOCK` of the task contract). */
export const BLOCK: i32 = 96

/** Keys of a score tile in the forward pass (`FORWARD_BLOCK` of the scratch memory's layout). */
export const FORWARD_BLOCK: i32 = 128

/**
 * Bytes between two rows of a score tile; a constant, so that six of its rows are reached from one pointer. No multiple of 512:
 * so many rows would share a few sets of the cache.
 */
export const TILE_ROW: usize = <usize>(FORWARD_BLOCK + 16) << 2

/** Bytes between two panels of a block's rows; for the same reason not those of 128 rows. */
export const PANEL: usize = <usize>(FORWARD_BLOCK + 2) * (NR * 4)
