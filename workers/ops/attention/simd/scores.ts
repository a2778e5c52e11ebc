/**
 * The score tile, 24 query rows × 96 keys (128 in the forward pass), and its products with blocks of keys and values.
 *
 *   s = (scale·q)·k → softcap·tanh(s/softcap) → + ALiBi + mask → −∞ where not attended (mask-tile.ts)
 *
 * Only columns in `ranges` of rows < rows are ever defined, except where said otherwise.
 */
import { Call } from '../../../wasm/generated/attention'
import { packEdgeApart, packPanels, packRows } from '../../../wasm/assembly/pack'
import { Rows, panelProduct, product, scoreProduct } from '../../../wasm/assembly/product'
import { areApart, keyRow, queryRow } from './rows'

/** Addresses of the products' factors. */
// @ts-ignore: decorator
@inline
export function scaleOf(call: Call): usize {
  return changetype<usize>(call) + offsetof<Call>('scale')
}

// @ts-ignore: decorator
@inline
export function oneOf(call: Call): usize {
  return changetype<usize>(call) + offsetof<Call>('one')
}

/** Whether K fits into one pack, so that it is packed once for all the query tiles that read it. */
// @ts-ignore: decorator
@inline
export function onePack(call: Call, dim: i32): bool {
  return dim <= call.depth
}

/** into = scale·q for the tile's rows: before the product, which may overflow where scale·q·k does not. */
export function scaleQueries(call: Call, q: usize, rows: i32, into: usize): void {
  if (!areApart(call)) {
    scaleRun(call, q, rows * call.dimK, into)
    return
  }
  for (; rows > 0; --rows) {
    scaleRun(call, q, call.dimK, into)
    q += queryRow(call, call.dimK)
    into += <usize>call.dimK << 2
  }
}

function scaleRun(call: Call, q: usize, count: i32, into: usize): void {
  const scale = f32x4.splat(call.scale)
  for (; count >= 8; count -= 8) {
    const q0 = f32x4.mul(v128.load(q), scale)
    const q1 = f32x4.mul(v128.load(q, 16), scale)
    v128.store(into, q1, 16)
    v128.store(into, q0)
    q += 32
    into += 32
  }
  for (; count > 0; --count) {
    store<f32>(into, load<f32>(q) * call.scale)
    q += 4
    into += 4
  }
}

/**
 * tile[24×128] = X·Yᵀ within `ranges`: X rows [rows][dim] at x, Y rows of the keys at y, `dim` elements each. The
 * depth is taken in parts of call.depth; when there is just one part, the pack of Y is expected to be there already. `map`,
 * where not 0, is the tile's place in a map [batch, heads, queries, keys], which is written beside the tile.
 */
export function dotTile(
  call: Call, x: usize, rows: i32, y: usize, keys: i32, dim: i32, yPack: usize, tile: usize, map: usize = 0,
): void {
  const row = <usize>dim << 2
  const mapRow = <usize>call.keys << 2
  const factor = oneOf(call)
  if (onePack(call, dim)) {
    scoreProduct(x, row, rows, yPack, dim, call.ranges, tile, factor, true, map, mapRow, keys)
    return
  }
  for (let p = 0; p < dim; p += call.depth) {
    const depth = min(dim - p, call.depth)
    packPanels(y + (<usize>p << 2), keyRow(call, dim), keys, depth, yPack)
    const into = p + depth == dim ? map : 0
    scoreProduct(x + (<usize>p << 2), row, rows, yPack, depth, call.ranges, tile, factor, p == 0, into, mapRow, keys)
  }
}

/** tile += X·Yᵀ, as dotTile forms it; `fresh`: tile = X·Yᵀ. */
export function addDotTile(
  call: Call, x: usize, rows: i32, y: usize, keys: i32, dim: i32, yPack: usize, tile: usize, fresh: bool,
): void {
  const row = <usize>dim << 2
  for (let p = 0; p < dim; p += call.depth) {
    const depth = min(dim - p, call.depth)
    if (!onePack(call, dim)) packPanels(y + (<usize>p << 2), row, keys, depth, yPack)
    scoreProduct(x + (<usize>p << 2), row, rows, yPack, depth, call.ranges, tile, oneOf(call), fresh && p == 0)
  }
}

/**
 * Rows of queries at `result`: rows[r] = (`Set`) or += (`Add`) factor·Σ_j tile[r][j]·b[j] within `seen` (`factor` an address), b
 * being the block's rows of keys at `b`, which `packBlockRows` has packed.
 */
export function blockProduct<E>(
  call: Call, tile: usize, rows: i32, b: usize, packed: usize, dim: i32, keys: i32, result: usize,
  factor: usize,
): void {
  const row = queryRow(call, dim)
  if (onePack(call, dim)) {
    panelProduct<Rows, E>(tile, 4, rows, packed, dim, keys, call.seen, result, row, call.spare, factor)
  } else {
    const bRow = keyRow(call, dim)
    product<Rows, E>(tile, 4, rows, b, bRow, packed, dim, keys, call.seen, result, row, call.spare, factor)
  }
}

export function packBlockRows(call: Call, b: usize, packed: usize, dim: i32, keys: i32): void {
  if (onePack(call, dim)) packRows(b, keyRow(call, dim), keys, dim, packed)
  else packEdgeApart(b, keyRow(call, dim), keys, dim, packed)
}
