/** How a task's scratch memory is laid out: the call itself, then work areas that grow with the dimensions. */
import { KEY_BLOCK, QUERY_TILE } from '../../task.ts'

/** Most dimensions packed at a time: larger ones are taken in parts, so that scratch memory stays bounded. */
const DEPTH = 256
/**
 * Query tiles that share a packed key block: at most so many, and so many dimensions altogether, because their rows of Q
 * and O should stay in the second-level cache (here 400 KB of 1 MB).
 */
const TILES_TOGETHER = 32
const DIMENSIONS_TOGETHER = 2048
/** Keys of a score tile in the forward pass, where longer products along them pay; a multiple of all panels. */
export const FORWARD_BLOCK = 128
/** Elements from one row of a score tile to the next, and rows of a panel (`TILE_ROW` and `PANEL` of `assembly/lanes.ts`). */
export const TILE_ROW = FORWARD_BLOCK + 16
const PANEL_ROWS = FORWARD_BLOCK + 2
/** Columns of the widest variant's register tile, and its rows. */
const PANEL = 16
const GROUP = 6
/** Partial sums and maxima of a row: two registers of four. */
const LANES = 8
/** Bytes for the call's words, and for the kernels' note of the tile they are at. */
const CALL_BYTES = 512
const PLACE_BYTES = 64
const ALIGN = 64

/** Dimensions packed at a time. */
export function packDepth(dimK: number, dimV: number): number {
  return Math.min(DEPTH, Math.max(dimK, dimV))
}

/** Where the dimensions are packed in parts, a pack is soon overwritten and cannot be shared. */
export function tilesTogether(dimK: number): number {
  return dimK <= DEPTH ? Math.min(TILES_TOGETHER, Math.floor(DIMENSIONS_TOGETHER / dimK)) : 1
}

/** Columns of the panels that a block's rows are packed into: one panel where they do not fit whole. */
function wholePanels(dim: number): number {
  return dim <= DEPTH ? Math.ceil(dim / PANEL) * PANEL : PANEL
}

/** The areas' sizes in elements of 4 bytes, by their names in the call (`assembly/call.ts` says what they are). */
function areas(dimK: number, dimV: number) {
  const depth = packDepth(dimK, dimV)
  const tiles = tilesTogether(dimK)
  const rows = tiles * QUERY_TILE
  const tile = QUERY_TILE * TILE_ROW
  return {
    queryPack: QUERY_TILE * depth,
    keyPack: FORWARD_BLOCK * depth,
    gradOutputPack: QUERY_TILE * depth,
    valuePack: KEY_BLOCK * depth,
    keyRows: PANEL_ROWS * wholePanels(dimK),
    valueRows: PANEL_ROWS * wholePanels(dimV),
    queryEdge: QUERY_TILE * PANEL,
    gradOutputEdge: QUERY_TILE * PANEL,
    tile,
    gradTile: tile,
    tanhTile: tile,
    attended: tile / 4,
    spare: GROUP * PANEL,
    rowFrom: rows,
    rowTo: rows,
    common: tiles * 2,
    seen: (QUERY_TILE / GROUP) * 2,
    ranges: (QUERY_TILE / GROUP) * 2,
    columnRanges: (KEY_BLOCK / GROUP) * 2,
    runningMax: rows,
    runningSum: rows * LANES,
    runningMoment: rows * LANES,
    tileMax: QUERY_TILE,
    tileFactor: QUERY_TILE,
    laneMax: QUERY_TILE * LANES,
    shiftUpper: QUERY_TILE,
    shiftLower: QUERY_TILE,
    tileKeys: tiles * 2,
    tileState: tiles * 2,
    constants: 16,
  }
}

export type AreaName = keyof ReturnType<typeof areas>

export interface ScratchLayout {
  /** byte offsets from the beginning of the scratch memory */
  place: number
  areas: Record<AreaName, number>
  bytes: number
}

/** Every call asks for it, and most of them for the same one again. */
let latest: { dimK: number; dimV: number; layout: ScratchLayout } | undefined

export function scratchLayout(dimK: number, dimV: number): ScratchLayout {
  if (latest?.dimK !== dimK || latest.dimV !== dimV) latest = { dimK, dimV, layout: layOut(dimK, dimV) }
  return latest.layout
}

function layOut(dimK: number, dimV: number): ScratchLayout {
  let next = CALL_BYTES + PLACE_BYTES
  const offsets = {} as Record<AreaName, number>
  for (const [name, elements] of Object.entries(areas(dimK, dimV))) {
    offsets[name as AreaName] = next
    next += Math.ceil((elements * 4) / ALIGN) * ALIGN
  }
  return { place: CALL_BYTES, areas: offsets, bytes: next }
}

/** Bytes of scratch memory that one task in flight needs. */
export function scratchBytes(dimK: number, dimV: number): number {
  return scratchLayout(dimK, dimV).bytes
}
