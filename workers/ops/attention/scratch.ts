/** The work areas of attention's kernels: they grow with the dimensions. */
import {
  FORWARD_BLOCK,
  KEY_BLOCK,
  PANEL_ROWS,
  QUERY_TILE,
  TILE_COLUMNS,
  TILE_GROUP,
  WIDEST_PANEL,
} from '../../layout.ts'

/** Most dimensions packed at a time: larger ones are taken in parts, so that scratch memory stays bounded. */
const DEPTH = 256
/**
 * Query tiles that share a packed key block: at most this many, and this many dimensions altogether, because their rows of Q
 * and O should stay in the second-level cache (here 400 KB of 1 MB).
 */
const TILES_TOGETHER = 32
const DIMENSIONS_TOGETHER = 2048
/** Partial sums and maxima of a row: two registers of four. */
const LANES = 8
/** What a kernel notes of the tile it is at (`Place` in `simd/scores.ts`). */
const PLACE_BYTES = 64

interface Dims {
  dimK: number
  dimV: number
}

interface Sizes extends Dims {
  queries: number
}

/** Dimensions packed at a time. */
export function packDepth({ dimK, dimV }: Dims): number {
  return Math.min(DEPTH, Math.max(dimK, dimV))
}

/** Where the dimensions are packed in parts, a pack is soon overwritten and cannot be shared. */
export function tilesTogether({ dimK }: Dims): number {
  return dimK <= DEPTH ? Math.min(TILES_TOGETHER, Math.floor(DIMENSIONS_TOGETHER / dimK)) : 1
}

/** Columns of the panels that a block's rows are packed into: one panel where they do not fit whole. */
function wholePanels(dim: number): number {
  return dim <= DEPTH ? Math.ceil(dim / WIDEST_PANEL) * WIDEST_PANEL : WIDEST_PANEL
}

/** An area of this many elements of 4 bytes. */
function elements(count: (a: Sizes) => number) {
  return (a: Sizes) => 4 * count(a)
}

function rows(a: Dims): number {
  return tilesTogether(a) * QUERY_TILE
}

export const areas = {
  place: () => PLACE_BYTES,
  /** Oᵀ [depth][24], for delta */
  queryPack: elements(a => QUERY_TILE * packDepth(a)),
  /** Kᵀ in panels [128/NR][depth][NR] */
  keyPack: elements(a => FORWARD_BLOCK * packDepth(a)),
  /** ∂Oᵀ [depth][24] */
  gradOutputPack: elements(a => QUERY_TILE * packDepth(a)),
  /** Vᵀ in panels [96/NR][depth][NR] */
  valuePack: elements(a => KEY_BLOCK * packDepth(a)),
  /** K's, V's rows in panels [⌈d/NR⌉][130][NR] where they fit whole, otherwise the last, incomplete panel */
  keyRows: elements(a => PANEL_ROWS * wholePanels(a.dimK)),
  valueRows: elements(a => PANEL_ROWS * wholePanels(a.dimV)),
  /** the last, incomplete panel of Q, ∂O [24][NR] */
  queryEdge: elements(() => QUERY_TILE * WIDEST_PANEL),
  gradOutputEdge: elements(() => QUERY_TILE * WIDEST_PANEL),
  /** [24][144]: scores, then weights */
  tile: elements(() => QUERY_TILE * TILE_COLUMNS),
  /** [24][144]: ∂P, then ∂S */
  gradTile: elements(() => QUERY_TILE * TILE_COLUMNS),
  /** [24][144]: tanh of the softcap */
  tanhTile: elements(() => QUERY_TILE * TILE_COLUMNS),
  /** bytes [24][128], where inputs are non-finite: which pairs are attended */
  attended: () => QUERY_TILE * TILE_COLUMNS,
  /** [6][NR] where a product meets the edge of its result */
  spare: elements(() => TILE_GROUP * WIDEST_PANEL),
  /** i32 [tilesTogether][24] each: the keys [rowFrom, rowTo) that a row may attend to by its position */
  rowFrom: elements(rows),
  rowTo: elements(rows),
  /** i32 [tilesTogether][2]: the keys that all rows of a tile see */
  common: elements(a => tilesTogether(a) * 2),
  /** i32 [4][2] each: columns of the score tile that a group of six rows sees, and widened to multiples of 16 */
  seen: elements(() => (QUERY_TILE / TILE_GROUP) * 2),
  ranges: elements(() => (QUERY_TILE / TILE_GROUP) * 2),
  /** i32 [16][2]: rows of the score tile that see one of a group of six columns */
  columnRanges: elements(() => (KEY_BLOCK / TILE_GROUP) * 2),
  /** f32 [tilesTogether][24]: what is subtracted from a row's scores, −∞ before there are any */
  runningMax: elements(rows),
  /** f32 [tilesTogether][24][8] each: Σ e and Σ e·(s − max), lane by lane */
  runningSum: elements(a => rows(a) * LANES),
  runningMoment: elements(a => rows(a) * LANES),
  /** f32 [24] each: the tile's maxima, and the factors of what came before */
  tileMax: elements(() => QUERY_TILE),
  tileFactor: elements(() => QUERY_TILE),
  /** f32 [24][8]: the tile's maxima, lane by lane */
  laneMax: elements(() => QUERY_TILE * LANES),
  /** f32 [24] each: m and 1/Σ of the tile's rows, and entropy − ln Σ */
  rowMax: elements(() => QUERY_TILE),
  rowFactor: elements(() => QUERY_TILE),
  rowEntropy: elements(() => QUERY_TILE),
  /** i32 [tilesTogether][2]: the keys that some row of a tile sees */
  tileKeys: elements(a => tilesTogether(a) * 2),
  /** f32 [tilesTogether]: the largest ‖scale·q‖² of a tile's rows */
  tileNorms: elements(tilesTogether),
  /** u32 [tilesTogether]: the tile's rows whose output is not finite, a bit each */
  large: elements(tilesTogether),
  /** f64 [24][depth + 1]: see large-values.ts */
  largeSums: elements(a => 2 * QUERY_TILE * (packDepth(a) + 1)),
  /** [tilesTogether][24][dimK], no more tiles than there are: scale·Q */
  scaledQueries: elements(a => Math.min(rows(a), Math.ceil(a.queries / QUERY_TILE) * QUERY_TILE) * a.dimK),
  /** f32 [12]: see exponentials.ts */
  constants: elements(() => 16),
}
