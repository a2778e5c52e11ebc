/** Where a tile of the kernels of attention stands. */
import { Call } from '../../../wasm/generated/attention'

/** A tile's place: rows [row, row + rows) of head `head` = b·heads + h against keys [key, key + keys) of its kv head. */
@unmanaged
export class Place {
  b: i32
  h: i32
  head: i32
  kvHead: i32
  row: i32
  rows: i32
  key: i32
  keys: i32
  /** backward: delta and gradQ of the part, all heads */
  delta: usize
  gradQ: usize
  /** forward mode: the tiles that are not kept; of those that are, how many a query tile has, and which block the first is of */
  tile: usize
  gradTile: usize
  blocks: i32
  firstBlock: i32
  /** backward: gradOutput of the tile's rows, side by side */
  gradOutput: usize
}

/** Where the call has room for one. */
// @ts-ignore: decorator
@inline
export function placeOf(call: Call): Place {
  return changetype<Place>(call.place)
}
