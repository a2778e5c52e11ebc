/** Copies that bring operands into the shape the products read: transposed panels, and zero-padded edge panels. */
import { transposeFour } from './transpose'
import { NR } from './lanes'
import { PANEL } from './score-tile'

/**
 * pack[p][r] = source[r][p] for p < depth, r < rows, and 0 for rows ≤ r < width (width a multiple of 4). Source rows are
 * `sourceRow` bytes apart. Four rows and four depths at a time are transposed in registers.
 */
export function packTransposed(source: usize, sourceRow: usize, rows: i32, depth: i32, pack: usize, width: i32): void {
  const packRow = <usize>width << 2
  for (let r = 0; r < width; r += 4) {
    if (r + 4 <= rows) {
      transposeFour(source + <usize>r * sourceRow, sourceRow, depth, pack + (<usize>r << 2), packRow)
    } else {
      for (let row = r; row < r + 4; ++row) {
        let into = pack + (<usize>row << 2)
        let from = source + <usize>row * sourceRow
        for (let p = 0; p < depth; ++p) {
          store<f32>(into, row < rows ? load<f32>(from) : 0)
          into += packRow
          from += 4
        }
      }
    }
  }
}

/** The block's rows, transposed, in panels [⌈rows/NR⌉][depth][NR]; panels without a row are left alone. */
export function packPanels(source: usize, sourceRow: usize, rows: i32, depth: i32, pack: usize): void {
  for (let r = 0; r < rows; r += NR) {
    packTransposed(source + <usize>r * sourceRow, sourceRow, rows - r, depth, pack, NR)
    pack += <usize>depth * (NR * 4)
  }
}

/**
 * The block's rows, sourceRow bytes apart, as they are, but in panels of NR columns [⌈columns/NR⌉][130][NR], the last padded with
 * zeros: NR columns of rows far apart would fall into few sets of the cache, and the first to read them would wait for each.
 */
export function packRows(source: usize, sourceRow: usize, rows: i32, columns: i32, panels: usize): void {
  const rest = columns % NR
  const skipped = sourceRow - (<usize>columns << 2)
  for (let r = 0; r < rows; ++r) {
    let into = panels + <usize>r * (NR * 4)
    let column = columns
    for (; column >= NR; column -= NR) {
      const c0 = v128.load(source)
      const c1 = v128.load(source, 16)
      v128.store(into, c1, 16)
      v128.store(into, c0)
      if (NR == 16) {
        const c2 = v128.load(source, 32)
        const c3 = v128.load(source, 48)
        v128.store(into, c3, 48)
        v128.store(into, c2, 32)
      }
      source += NR * 4
      into += PANEL
    }
    for (let x = 0; rest != 0 && x < NR; ++x) {
      const at = <usize>x << 2
      store<f32>(into + at, x < rest ? load<f32>(source + at) : 0)
    }
    source += (<usize>rest << 2) + skipped
  }
}

/** The last columns % NR columns of source, as a panel [rows][NR] padded with zeros; nothing where there are none. */
export function packEdge(source: usize, rows: i32, columns: i32, edge: usize): void {
  packEdgeApart(source, <usize>columns << 2, rows, columns, edge)
}

/** The same of rows that are sourceRow bytes apart. */
export function packEdgeApart(source: usize, sourceRow: usize, rows: i32, columns: i32, edge: usize): void {
  const width = columns % NR
  if (width == 0) return
  source += <usize>(columns - width) << 2
  for (let r = 0; r < rows; ++r) {
    for (let x = 0; x < NR; ++x) {
      const at = <usize>x << 2
      store<f32>(edge + at, x < width ? load<f32>(source + at) : 0)
    }
    source += sourceRow
    edge += NR * 4
  }
}
