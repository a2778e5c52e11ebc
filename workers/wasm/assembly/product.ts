/**
 * Products of any size, cut into register tiles: a score tile from rows of X and packed rows of Y, and C += A·B for
 * everything else. Sums over blocks are formed blockwise.
 */
import { MR, NR, madd } from './lanes'
import { FORWARD_BLOCK, PANEL, TILE_ROW } from './score-tile'
import { Add, Set, Strided, registerTile } from './register-tile'

export { Add, Columns, Rows, Set } from './register-tile'

/** The address of a 1. */
const ONE: usize = memory.data<f32>([1])

/**
 * The score tile T[24×128] = factor · X · Yᵀ, or += where not `fresh` (`factor` an address): `rows` rows of X, xRow bytes
 * apart; Y packed in panels [128/NR][depth][NR]. Only the register tiles that meet a row group's range of columns are
 * computed. Where there is a `map`, its rows mapRow bytes apart, the first `keys` columns are written there too: register tile
 * by register tile, so that memory has the time of the next one to take it.
 */
export function scoreProduct(
  x: usize, xRow: usize, rows: i32, panels: usize, depth: i32, ranges: usize, tile: usize, factor: usize, fresh: bool,
  map: usize = 0, mapRow: usize = 0, keys: i32 = 0,
): void {
  for (let column = 0; column < FORWARD_BLOCK; column += NR) {
    for (let row = 0; row < rows; row += MR) {
      const range = ranges + (<usize>(row / MR) << 3)
      if (column + NR <= load<i32>(range) || column >= load<i32>(range, 4)) continue
      const c = tile + <usize>row * TILE_ROW + (<usize>column << 2)
      const from = x + <usize>row * xRow
      if (fresh) registerTile<Strided, Set>(from, xRow, rows - row, 4, panels, NR * 4, depth, c, TILE_ROW, factor)
      else registerTile<Strided, Add>(from, xRow, rows - row, 4, panels, NR * 4, depth, c, TILE_ROW, factor)
      if (!map) continue
      const into = map + <usize>row * mapRow + (<usize>column << 2)
      copyRows(c, TILE_ROW, min(rows - row, MR), min(keys - column, NR), into, mapRow)
    }
    panels += <usize>depth * (NR * 4)
  }
}

/**
 * C[rows×columns] += factor · A[rows×depth] · B[depth×columns], or = with `Set`; C and B in place with any row length. `factor`, by which A·B is multiplied, is an address;
 * `edge` is the last columns % NR columns of B, packed [depth][NR] and padded with zeros. `ranges`, where not 0, gives each
 * row group the part of the depth it needs.
 */
export function product<L, E>(
  a: usize,
  aStep: usize,
  rows: i32,
  b: usize,
  bRow: usize,
  edge: usize,
  columns: i32,
  depth: i32,
  ranges: usize,
  c: usize,
  cRow: usize,
  spare: usize,
  factor: usize,
): void {
  cutProduct<L, E>(a, aStep, rows, b, bRow, NR * 4, edge, columns, depth, ranges, c, cRow, spare, factor)
}

/** The same with B packed by `packRows`. */
export function panelProduct<L, E>(
  a: usize,
  aStep: usize,
  rows: i32,
  panels: usize,
  columns: i32,
  depth: i32,
  ranges: usize,
  c: usize,
  cRow: usize,
  spare: usize,
  factor: usize,
): void {
  const edge = panels + <usize>(columns / NR) * PANEL
  cutProduct<L, E>(a, aStep, rows, panels, NR * 4, PANEL, edge, columns, depth, ranges, c, cRow, spare, factor)
}

/** B's panels of NR columns are bPanel bytes apart; the incomplete one is at `edge`. */
function cutProduct<L, E>(
  a: usize,
  aStep: usize,
  rows: i32,
  b: usize,
  bRow: usize,
  bPanel: usize,
  edge: usize,
  columns: i32,
  depth: i32,
  ranges: usize,
  c: usize,
  cRow: usize,
  spare: usize,
  factor: usize,
): void {
  const aRow: usize = isFloat<L>() ? 4 : TILE_ROW
  for (let column = 0; column < columns; column += NR) {
    const width = min(columns - column, NR)
    const panel = width < NR ? edge : b
    b += bPanel
    const panelRow: usize = width < NR ? <usize>(NR * 4) : bRow
    let begin = 0
    let end = depth
    for (let row = 0; row < rows; row += MR) {
      if (ranges) {
        const range = ranges + (<usize>(row / MR) << 3)
        begin = load<i32>(range)
        end = min(load<i32>(range, 4), depth)
      }
      const height = min(rows - row, MR)
      if (begin >= end) {
        if (!isFloat<E>()) clearCorner(height, width, c + <usize>row * cRow + (<usize>column << 2), cRow)
        continue
      }
      const from = a + <usize>row * aRow + <usize>begin * aStep
      const panelFrom = panel + <usize>begin * panelRow
      const into = c + <usize>row * cRow + (<usize>column << 2)
      if (height == MR && width == NR) {
        registerTile<L, E>(from, aRow, MR, aStep, panelFrom, panelRow, end - begin, into, cRow, factor)
      } else {
        registerTile<L, Set>(from, aRow, height, aStep, panelFrom, panelRow, end - begin, spare, NR * 4, ONE)
        putCorner<E>(spare, height, width, into, cRow, factor)
      }
    }
  }
}

/** C[height×width] = A[height×width], any row lengths. */
export function copyRows(a: usize, aRow: usize, height: i32, width: i32, c: usize, cRow: usize): void {
  for (let r = 0; r < height; ++r) {
    let j = 0
    for (; j + 8 <= width; j += 8) {
      const low = v128.load(a + (<usize>j << 2))
      const high = v128.load(a + (<usize>j << 2), 16)
      v128.store(c + (<usize>j << 2), high, 16)
      v128.store(c + (<usize>j << 2), low)
    }
    for (; j < width; ++j) store<f32>(c + (<usize>j << 2), load<f32>(a + (<usize>j << 2)))
    a += aRow
    c += cRow
  }
}

/** C[height×width] += factor · the corner of a register tile, or =: rounded as the tile itself is added, to the same bits. */
function putCorner<E>(spare: usize, height: i32, width: i32, c: usize, cRow: usize, factor: usize): void {
  const f = v128.load_splat<f32>(factor)
  const end = <usize>width << 2
  for (let r = 0; r < height; ++r) {
    let x: usize = 0
    for (; x + 16 <= end; x += 16) {
      const sum = v128.load(spare + x)
      v128.store(c + x, isFloat<E>() ? madd(f, sum, v128.load(c + x)) : f32x4.mul(f, sum))
    }
    for (; x < end; x += 4) {
      const sum = v128.load_splat<f32>(spare + x)
      const value = isFloat<E>() ? madd(f, sum, v128.load_splat<f32>(c + x)) : f32x4.mul(f, sum)
      store<f32>(c + x, f32x4.extract_lane(value, 0))
    }
    c += cRow
    spare += NR * 4
  }
}

/** C[height×width] = 0 */
function clearCorner(height: i32, width: i32, c: usize, cRow: usize): void {
  for (; height > 0; --height) {
    memory.fill(c, 0, <usize>width << 2)
    c += cRow
  }
}
