/** Numbers that several places agree on, on both sides of WebAssembly: `wasm/generated/layout.ts` has them for the kernels. */

/** The first page of the shared memory is the modules': tables of the text kernels, then constants of the others. */
export const PAGE = 65536

/** Where in it those constants begin. */
export const CONSTANTS_AT = 32768

/** Everything in the shared memory stands at a multiple of this. */
export const ALIGN = 64

/** Query rows of a tile of scores. */
export const QUERY_TILE = 24

/** Keys of a tile of scores. */
export const KEY_BLOCK = 96

/** Keys of a tile of scores in attention's forward pass, where longer products along them pay; a multiple of all panels. */
export const FORWARD_BLOCK = 128

/** Elements from one row of a tile of scores to the next, and rows of a panel: `wasm/assembly/score-tile.ts` says why not 128. */
export const TILE_COLUMNS = 144
export const PANEL_ROWS = 130

/** Rows of a register tile, and columns of the widest variant's. */
export const TILE_GROUP = 6
export const WIDEST_PANEL = 16
