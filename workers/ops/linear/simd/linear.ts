/**
 * Products with weight matrices, after Goto and van de Geijn 2008 (Anatomy of high-performance matrix multiplication):
 *
 *   linearForward         y = x·W + bias + residual            [rows, dimOut]
 *   linearBackwardInput   gradX = gradY·Wᵀ + residual          [rows, dimIn]
 *   linearBackwardWeight  gradWeight = xᵀ·gradY                [dimIn, dimOut]
 *
 * The depth (what is summed over) is taken in chunks of at most 256. Of a chunk, the columns' operand is packed once for a
 * block of columns and serves every row block of the range; the rows' operand is packed for the rows that go through it. So a
 * panel of columns (16 KB) stays in the first-level cache while panels of rows come by from the second.
 *
 * A chunk's sum is formed in registers; the first one takes bias and residual along, the others add to the result: the order
 * depends on the depth alone. Where rows or columns stand split into heads, they are read and written there (split-rows.ts).
 *
 * Hazard (linearBackwardWeight, nonFinite): a row that is padding has gradY = 0, but its x may be NaN, and 0·NaN is NaN: where
 * all of gradY's row is 0, zeros are packed in place of x's.
 */
import { MR, NR } from '../../../wasm/assembly/lanes'
import {
  Call, FEW_ROWS, PACK_DEPTH, PRODUCT_COLUMNS, PRODUCT_ROWS, ROWS_TOGETHER, THIN_COLUMNS, THIN_ROWS,
} from '../../../wasm/generated/linear'
import { fewRows } from './few-rows'
import { packAcross, packAlong } from './pack'
import { Product, begin, setMatrix, setSizes } from './product-state'
import { SplitRows, columnRun, elementAt, rowRun } from './split-rows'
import { InPlace, Packed, linearTile } from './tile'

/** For so few rows a plain matrix is read where it stands: copying it would take as long as multiplying by it. */
const FEW: i32 = 12
/** For so few columns rows are read where they stand. */
const NARROW: i32 = 256

export function linearForward(call: Call, from: i32, to: i32): void {
  const p = begin(call)
  setMatrix(p.a, call.x, call.headsIn, call.positions, call.dimIn)
  setMatrix(p.b, call.weight, 1, call.dimIn, call.dimOut)
  setMatrix(p.c, call.y, call.headsOut, call.positions, call.dimOut)
  setMatrix(p.residual, call.residual, call.headsOut, call.positions, call.dimOut)
  setSizes(p, call.batch * call.positions, call.dimOut, call.dimIn)
  p.bias = call.bias
  p.rowsAlong = false
  p.columnsAlong = true
  multiply(p, from, to)
}

export function linearBackwardInput(call: Call, from: i32, to: i32): void {
  const p = begin(call)
  setMatrix(p.a, call.gradY, call.headsOut, call.positions, call.dimOut)
  setMatrix(p.b, call.weight, 1, call.dimIn, call.dimOut)
  setMatrix(p.c, call.gradX, call.headsIn, call.positions, call.dimIn)
  setMatrix(p.residual, call.residual, call.headsIn, call.positions, call.dimIn)
  setSizes(p, call.batch * call.positions, call.dimIn, call.dimOut)
  p.rowsAlong = false
  p.columnsAlong = false
  multiply(p, from, to)
}

export function linearBackwardWeight(call: Call, from: i32, to: i32): void {
  const p = begin(call)
  setMatrix(p.a, call.x, call.headsIn, call.positions, call.dimIn)
  setMatrix(p.b, call.gradY, call.headsOut, call.positions, call.dimOut)
  setMatrix(p.c, call.gradWeight, 1, call.dimIn, call.dimOut)
  setMatrix(p.residual, 0, 1, call.dimIn, call.dimOut)
  setSizes(p, call.dimIn, call.dimOut, call.batch * call.positions)
  p.nonFinite = call.nonFinite != 0
  p.rowsAlong = true
  p.columnsAlong = true
  multiply(p, from, to)
}

function multiply(p: Product, from: i32, to: i32): void {
  const thin = p.rows <= THIN_ROWS
  const few = p.rows <= FEW_ROWS && !p.rowsAlong
  const rowBlock = thin ? max(p.rows, 1) : PRODUCT_ROWS
  const rowBlocks = (p.rows + rowBlock - 1) / rowBlock
  const chunks = max((p.depth + PACK_DEPTH - 1) / PACK_DEPTH, 1)
  const most = (p.depth + chunks - 1) / chunks
  for (let unit = from; unit < to; ) {
    const block = unit / rowBlocks
    const first = unit - block * rowBlocks
    // thin units are neighbouring columns, else rows
    const count = thin ? min(to - unit, PRODUCT_COLUMNS / THIN_COLUMNS) : min(to - unit, rowBlocks - first)
    const column = block * (thin ? THIN_COLUMNS : PRODUCT_COLUMNS)
    const columns = min(thin ? count * THIN_COLUMNS : PRODUCT_COLUMNS, p.columns - column)
    const row = first * rowBlock
    const end = min(row + (thin ? rowBlock : count * rowBlock), p.rows)
    if (p.depth == 0) clear(p, row, end, column, columns)
    // what is read of each row of the weight at once: columns of the result, or the depth
    const part = few && !p.columnsAlong ? 16 : columns
    for (let c = 0; c < columns; c += part) {
      for (let k = 0; k < p.depth; k += most) {
        const depth = min(most, p.depth - k)
        if (few) fewRows(p, column + c, min(part, columns - c), k, depth)
        else blockOfRows(p, row, end, column, columns, k, depth)
      }
    }
    unit += count
  }
}

function blockOfRows(p: Product, row: i32, end: i32, column: i32, columns: i32, k: i32, depth: i32): void {
  const direct = p.columnsAlong && p.b.heads == 1 && p.rows <= FEW
  const whole = direct ? columns - (columns % NR) : 0
  packColumns(p, column + whole, columns - whole, k, depth)
  if (p.nonFinite) noteSkipped(p, k, depth)
  for (; row < end; row += ROWS_TOGETHER) {
    const rows = min(ROWS_TOGETHER, end - row)
    const inPlace = !p.rowsAlong && p.a.heads == 1 && columns <= NARROW
    if (inPlace) blockProduct<InPlace>(p, row, rows, column, columns, whole, k, depth)
    else {
      packRows(p, row, rows, k, depth)
      blockProduct<Packed>(p, row, rows, column, columns, whole, k, depth)
    }
  }
}

/** A sum over nothing: only gradWeight, whose columns stand side by side, can have no depth (a batch or a sequence of 0). */
function clear(p: Product, row: i32, end: i32, column: i32, columns: i32): void {
  for (; row < end; ++row) memory.fill(elementAt(p.c, row, column), 0, <usize>columns << 2)
}

function packColumns(p: Product, column: i32, columns: i32, k: i32, depth: i32): void {
  if (p.columnsAlong) packAlong(p.b, k, depth, column, columns, NR, p.columnPack)
  else packAcross(p.b, column, columns, k, depth, NR, p.columnPack)
}

function packRows(p: Product, row: i32, rows: i32, k: i32, depth: i32): void {
  if (!p.rowsAlong) return packAcross(p.a, row, rows, k, depth, MR, p.rowPack)
  packAlong(p.a, k, depth, row, rows, MR, p.rowPack)
  if (!p.nonFinite) return
  for (let i = 0; i < depth; ++i) {
    if (!load<u8>(p.skipped + <usize>i)) continue
    for (let panel = 0; panel < rows; panel += MR) {
      memory.fill(p.rowPack + <usize>(panel * depth + i * MR) * 4, 0, MR * 4)
    }
  }
}

/** Which rows of the depth have a gradY that is all zero. */
function noteSkipped(p: Product, k: i32, depth: i32): void {
  for (let i = 0; i < depth; ++i) {
    let zero = true
    for (let column = 0; zero && column < p.columns; ) {
      const run = columnRun(p.b, column, p.columns - column)
      const at = elementAt(p.b, k + i, column)
      for (let j: usize = 0; zero && j < <usize>run; ++j) zero = load<f32>(at + (j << 2)) == 0
      column += run
    }
    store<u8>(p.skipped + <usize>i, <u8>zero)
  }
}

/** The rows through the columns, tile by tile; the first `direct` of the columns are read where they stand. */
function blockProduct<L>(
  p: Product, row: i32, rows: i32, column: i32, columns: i32, direct: i32, k: i32, depth: i32,
): void {
  const first = k == 0
  const base = first ? p.residual : p.c
  const bias = first && p.bias != 0
  let pack = p.columnPack
  for (let x = 0; x < columns; x += NR) {
    const b = x < direct ? elementAt(p.b, k, column + x) : pack
    const bRow: usize = x < direct ? <usize>p.b.width << 2 : NR * 4
    const width = min(NR, columns - x)
    const whole = width == NR && columnRun(p.c, column + x, NR) == NR
    let biasAt = p.zeros
    if (bias) {
      biasAt = p.bias + (<usize>(column + x) << 2)
      if (!whole) biasAt = paddedBias(p, biasAt, width)
    }
    const inPlace = sizeof<L>() == 8
    const aRow = <usize>p.a.width << 2
    let a = inPlace ? elementAt(p.a, row, k) : p.rowPack
    for (let r = 0; r < rows; r += MR) {
      const height = min(MR, rows - r)
      if (whole && height == MR && rowRun(p.c, row + r, MR) == MR) {
        const c = elementAt(p.c, row + r, column + x)
        const cRow = <usize>p.c.width << 2
        if (base.start) {
          linearTile<L>(a, aRow, height, b, bRow, depth, biasAt, elementAt(base, row + r, column + x), cRow, c, cRow)
        } else {
          linearTile<L>(a, aRow, height, b, bRow, depth, biasAt, p.zeros, 0, c, cRow)
        }
      } else {
        linearTile<L>(a, aRow, height, b, bRow, depth, biasAt, p.zeros, 0, p.spare, NR * 4)
        storeCorner(p, base, row + r, height, column + x, width)
      }
      a += inPlace ? <usize>MR * aRow : <usize>(depth * MR) * 4
    }
    if (x >= direct) pack += <usize>(depth * NR) * 4
  }
}

function paddedBias(p: Product, bias: usize, width: i32): usize {
  memory.fill(p.panelBias, 0, 64)
  memory.copy(p.panelBias, bias, <usize>width << 2)
  return p.panelBias
}

/** c = tile + base where a tile meets the edge of the result, of a head or of a batch. */
function storeCorner(p: Product, base: SplitRows, row: i32, height: i32, column: i32, width: i32): void {
  let tile = p.spare
  for (let r = row; r < row + height; ++r) {
    for (let x = 0; x < width; ) {
      const run = columnRun(p.c, column + x, width - x)
      const c = elementAt(p.c, r, column + x)
      const from = base.start ? elementAt(base, r, column + x) : p.zeros
      for (let j: usize = 0; j < <usize>run << 2; j += 4) {
        store<f32>(c + j, load<f32>(tile + (<usize>x << 2) + j) + load<f32>(from + j))
      }
      x += run
    }
    tile += NR * 4
  }
}
