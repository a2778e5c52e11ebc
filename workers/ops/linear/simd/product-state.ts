/** What a product with a weight notes of itself while it is computed. */
import { MR } from '../../../wasm/assembly/lanes'
import { Call, PACK_DEPTH, ROWS_TOGETHER } from '../../../wasm/generated/linear'
import { SplitRows } from './split-rows'

/** A product in progress: what the area `product` begins with. */
@unmanaged
export class Product {
  rows: i32
  columns: i32
  depth: i32
  /** which way the packs run (linear-pack.ts) */
  rowsAlong: bool
  columnsAlong: bool
  /** a row of gradY that is all zero takes no part */
  nonFinite: bool
  // operands of the rows and the columns, the result, and what is added to it
  a: SplitRows
  b: SplitRows
  c: SplitRows
  residual: SplitRows
  bias: usize
  /** [NR] zeros; the bias of the panel, padded; a tile [6][NR] */
  zeros: usize
  panelBias: usize
  spare: usize
  /** bytes [PACK_DEPTH]: 1 where the row of the depth takes no part */
  skipped: usize
  /** [ROWS_TOGETHER/6][depth][6] and [PRODUCT_COLUMNS/NR][depth][NR] */
  rowPack: usize
  columnPack: usize
}

const HEADER: usize = 256
const MATRIX: usize = 32

export function begin(call: Call): Product {
  const at = call.product
  const p = changetype<Product>(at)
  p.a = changetype<SplitRows>(at + 128)
  p.b = changetype<SplitRows>(at + 128 + MATRIX)
  p.c = changetype<SplitRows>(at + 128 + 2 * MATRIX)
  p.residual = changetype<SplitRows>(at + 128 + 3 * MATRIX)
  p.bias = 0
  p.nonFinite = false
  p.zeros = at + HEADER
  p.panelBias = p.zeros + 64
  p.spare = p.panelBias + 64
  p.skipped = p.spare + MR * 64
  p.rowPack = call.packs
  memory.fill(p.zeros, 0, 64)
  return p
}

export function setMatrix(m: SplitRows, start: usize, heads: i32, positions: i32, dim: i32): void {
  m.start = start
  m.heads = heads
  m.positions = positions
  m.width = dim / heads
}

export function setSizes(p: Product, rows: i32, columns: i32, depth: i32): void {
  p.rows = rows
  p.columns = columns
  p.depth = depth
  p.columnPack = p.rowPack + <usize>(ROWS_TOGETHER * min(depth, PACK_DEPTH)) * 4
}
