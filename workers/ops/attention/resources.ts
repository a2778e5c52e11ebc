/** What attention's kernels take: time, and work areas that grow with the dimensions. */
import {
  FORWARD_BLOCK,
  KEY_BLOCK,
  PANEL_ROWS,
  QUERY_TILE,
  TILE_COLUMNS,
  TILE_GROUP,
  WIDEST_PANEL,
} from '../../layout.ts'
import type { Precision, Ref } from '../../step-types.ts'
import { type Price, price, type StepContext } from '../define-op.ts'

interface Dims {
  dimK: number
  dimV: number
}

// ---- work areas ------------------------------------------------------------------------------------------------------

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

// ---- time ------------------------------------------------------------------------------------------------------------

/** Of the arguments, what time depends on. */
interface Sizes extends Dims {
  batch: number
  heads: number
  queries: number
  keys: number
  softcap: number
  maskKind: 'none' | 'bool' | 'float'
  dropoutP: number
  earlier: number
}

/** Forward. A tile of query rows, a row, a key that is packed, of an element. */
const TILE = price(500, 0)
const ROW = price(10, 50)
const OUTPUT = price(0.3, 1)
const KEY = price(0.5, 0)
const PAIR = price(0.35, 75)
const PRODUCT = price(0.0165, 2.3)
/** Backward, and the gradient of a mask, whose kernel packs keys anew for every tile. */
const BACKWARD_ROW = price(80, 50)
/** A row against a block of keys that it does not see. */
const PASSED = price(0, 30)
const BACKWARD_PAIR = price(0.8, 125)
const BACKWARD_PRODUCT = price(0.0185, 1)
const MASK_PAIR = price(1.5, 90)
const MASK_PRODUCT = price(0.028, 0.9)
/** The part of a pair in a result where inputs may hold a NaN: a third of what it takes, one by one, where one does. */
const CHECKED = { pair: 1, product: 0.1 }
/** What may be done to a pair beside it, forward; backward takes up to twice as long. */
const SOFTCAP = price(1.75, 25)
const ALIBI = price(0.6, 6)
const MASKED = { none: price(0), bool: price(0.5, 2), float: price(0.4, 10) }
const DROPOUT = price(0.6, 12)
const ENTROPY = price(0.06, 3)
/** Each earlier pass, of a pair. */
const EARLIER = price(0.22, 5)
/** A pair that an earlier pass has, which the reference leaves out. */
const LEFT_OUT = 30
/** An element of a map; the reference computes the scores' products anew for it. */
const MAP = price(0.31, 25)
const SCORE_PRODUCT = price(0, 1)
const WEIGHT_GRADIENT = { chosen: price(1.2), computed: price(12) }

/** Kernels compute this many columns at a time, of scores and of results. */
const PANEL = 16
/** Columns that are computed for a row beside those that it attends to, where rows attend to intervals. */
const ROUNDED = 32

interface Given {
  tensors: { [name: string]: Ref | undefined }
}

type Context = StepContext & Given

function mapsOf({ scores, maskedScores, weights, droppedWeights }: Given['tensors']): number {
  return [scores, maskedScores, weights, droppedWeights].filter(map => map !== undefined).length
}

export function rowsOf({ batch, heads, queries }: Sizes): number {
  return batch * heads * queries
}

/** What is done to a pair beside products and exponentials. */
export function extras(a: Sizes, { tensors, precision: p }: Context): number {
  let time = MASKED[a.maskKind][p] + a.earlier * EARLIER[p]
  if (a.softcap > 0) time += SOFTCAP[p]
  if (tensors.slopes !== undefined) time += ALIBI[p]
  if (a.dropoutP > 0) time += DROPOUT[p]
  return time
}

/** Pairs that are gone through. */
function pairs(a: Sizes, { tensors, reckoned, precision }: Context): number {
  const attended = a.heads * reckoned
  if (precision === 'float64') return attended
  const rows = rowsOf(a)
  const all = rows * upTo(a.keys)
  return tensors.intervals === undefined ? all : Math.min(all, attended + rows * ROUNDED)
}

/** The time of all pairs at so much each. */
export function pairsTime(a: Sizes, context: Context, perPair: number): number {
  const gone = pairs(a, context)
  if (context.precision === 'float32') return gone * perPair
  const different = Math.min(gone, (rowsOf(a) * a.keys) / (a.earlier + 1))
  return different * perPair + (gone - different) * LEFT_OUT
}

/** Columns of whole panels. */
function upTo(columns: number): number {
  return Math.ceil(columns / PANEL) * PANEL
}

/** The time of a pair's part in a result's row. */
function resultTime(dim: number, product: Price, { precision, nonFinite }: Context): number {
  if (precision === 'float64') return dim * product.float64
  return nonFinite ? CHECKED.pair + dim * CHECKED.product : Math.max(PANEL, dim) * product.float32
}

export function forwardTime(a: Sizes, context: Context): number {
  const { tensors, units, precision: p } = context
  const rows = rowsOf(a)
  const all = rows * a.keys
  const unseen = tensors.scores === undefined ? 0 : Math.max(0, all - pairs(a, context))
  const perPair = PAIR[p] + extras(a, context) + (tensors.entropy === undefined ? 0 : ENTROPY[p])
  const packed = units === 0 ? 0 : a.batch * a.heads * a.keys * (a.dimK + a.dimV)
  return (
    units * TILE[p] +
    rows * (ROW[p] + a.dimV * OUTPUT[p]) +
    packed * KEY[p] +
    pairsTime(a, context, perPair + a.dimK * PRODUCT[p] + resultTime(a.dimV, PRODUCT, context)) +
    unseen * a.dimK * PRODUCT[p] +
    mapsTimeOf(all, a, context)
  )
}

/** Writing maps of that many elements. */
function mapsTimeOf(elements: number, a: Sizes, { tensors, precision: p }: Context): number {
  const scores = tensors.scores === undefined ? 0 : a.dimK * SCORE_PRODUCT[p]
  return elements * (mapsOf(tensors) * MAP[p] + scores)
}

export function mapsTime(a: Sizes, context: Context): number {
  const { units, precision: p } = context
  const rows = rowsOf(a)
  const product = p === 'float64' ? SCORE_PRODUCT[p] : PRODUCT[p]
  const perPair = PAIR[p] + extras(a, context) + a.dimK * product
  const elements = rows * a.keys
  return units * TILE[p] + rows * ROW[p] + elements * perPair + mapsTimeOf(elements, a, context)
}

export function backwardTime(a: Sizes & { parts: number }, context: Context): number {
  const { tensors, precision: p } = context
  const rows = rowsOf(a)
  const results =
    (tensors.gradV === undefined ? 0 : resultTime(a.dimV, BACKWARD_PRODUCT, context)) +
    (tensors.gradK === undefined ? 0 : resultTime(a.dimK, BACKWARD_PRODUCT, context)) +
    (tensors.gradQ === undefined ? 0 : resultTime(a.dimK, BACKWARD_PRODUCT, context))
  const perPair = BACKWARD_PAIR[p] + 1.3 * extras(a, context)
  return (
    rows * (a.parts * (BACKWARD_ROW[p] + a.dimV * OUTPUT[p]) + Math.ceil(a.keys / KEY_BLOCK) * PASSED[p]) +
    pairsTime(a, context, perPair + (a.dimK + a.dimV) * BACKWARD_PRODUCT[p] + results)
  )
}

export function maskGradientTime(a: Sizes, context: Context): number {
  const { precision: p } = context
  const perPair = MASK_PAIR[p] + 1.3 * extras(a, context)
  return rowsOf(a) * BACKWARD_ROW[p] + pairs(a, context) * (perPair + (a.dimK + a.dimV) * MASK_PRODUCT[p])
}

export function weightGradientTime(elements: number, computed: boolean, p: Precision): number {
  return elements * (computed ? WEIGHT_GRADIENT.computed[p] : WEIGHT_GRADIENT.chosen[p])
}
