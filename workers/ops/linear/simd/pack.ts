/**
 * Operands of a product with a weight matrix, copied into panels [depth][width]: width neighbours of the result's rows (6)
 * or columns (NR) beside each other, surplus ones 0. The depth of the product runs along the source's columns (`across`: the
 * copy transposes) or along its rows (`along`).
 */
import { MR, NR } from '../../../wasm/assembly/lanes'
import { transposeFour } from '../../../wasm/assembly/transpose'
import { SplitRows, columnRun, elementAt, rowRun } from './split-rows'

/** Panels of `members` source rows from `row` on, their columns [column, column + depth) becoming the depth. */
export function packAcross(m: SplitRows, row: i32, members: i32, column: i32, depth: i32, width: i32, into: usize): void {
  const panelRow = <usize>width << 2
  const end = row + members
  for (; row < end; row += width) {
    const some = min(width, end - row)
    for (let done = 0; done < depth; ) {
      const run = columnRun(m, column + done, depth - done)
      const to = into + <usize>done * panelRow
      packRows(m, row, some, column + done, run, width, to)
      done += run
    }
    into += <usize>depth * panelRow
  }
}

/** One panel over columns that are neighbours. */
function packRows(m: SplitRows, row: i32, members: i32, column: i32, depth: i32, width: i32, into: usize): void {
  const panelRow = <usize>width << 2
  const sourceRow = <usize>m.width << 2
  for (let member = 0; member < width; ) {
    const to = into + (<usize>member << 2)
    const left = rowRun(m, row + member, members - member)
    if (left >= 4 && width - member >= 4) {
      transposeFour(elementAt(m, row + member, column), sourceRow, depth, to, panelRow)
      member += 4
    } else if (left >= 2 && width - member >= 2) {
      transposeTwo(elementAt(m, row + member, column), sourceRow, depth, to, panelRow)
      member += 2
    } else {
      spreadRow(member < members ? elementAt(m, row + member, column) : 0, depth, to, panelRow)
      member += 1
    }
  }
}

function transposeTwo(source: usize, sourceRow: usize, depth: i32, into: usize, panelRow: usize): void {
  let s0 = source
  let s1 = s0 + sourceRow
  let p = depth
  for (; p >= 4; p -= 4) {
    const r0 = v128.load(s0)
    const r1 = v128.load(s1)
    const low = v128.shuffle<f32>(r0, r1, 0, 4, 1, 5)
    const high = v128.shuffle<f32>(r0, r1, 2, 6, 3, 7)
    v128.store_lane<i64>(into, low, 0)
    into += panelRow
    v128.store_lane<i64>(into, low, 1)
    into += panelRow
    v128.store_lane<i64>(into, high, 0)
    into += panelRow
    v128.store_lane<i64>(into, high, 1)
    into += panelRow
    s0 += 16
    s1 += 16
  }
  for (; p > 0; --p) {
    store<f32>(into, load<f32>(s0))
    store<f32>(into, load<f32>(s1), 4)
    into += panelRow
    s0 += 4
    s1 += 4
  }
}

/** A row by itself; zeros where `source` is 0. */
function spreadRow(source: usize, depth: i32, into: usize, panelRow: usize): void {
  for (let p: usize = 0; p < <usize>depth; ++p) {
    store<f32>(into, source ? load<f32>(source + (p << 2)) : 0)
    into += panelRow
  }
}

/** Panels of `members` source columns from `column` on, the rows [row, row + depth) being the depth. */
export function packAlong(m: SplitRows, row: i32, depth: i32, column: i32, members: i32, width: i32, into: usize): void {
  const panelRow = <usize>width << 2
  const end = column + members
  // four panels of plain columns at a time: longer pieces of each row come from memory together
  for (; width == NR && m.heads == 1 && end - column >= 4 * NR; column += 4 * NR) {
    copyFourPanels(elementAt(m, row, column), <usize>m.width << 2, depth, into)
    into += <usize>depth * (4 * NR * 4)
  }
  for (; column < end; column += width) {
    const some = min(width, end - column)
    for (let done = 0; done < depth; ) {
      const run = rowRun(m, row + done, depth - done)
      packColumns(m, row + done, run, column, some, width, into + <usize>done * panelRow)
      done += run
    }
    into += <usize>depth * panelRow
  }
}

/** One panel over rows at a constant distance. */
function packColumns(m: SplitRows, row: i32, depth: i32, column: i32, members: i32, width: i32, into: usize): void {
  const sourceRow = <usize>m.width << 2
  if (members == width && columnRun(m, column, width) == width) {
    const from = elementAt(m, row, column)
    if (width == MR) copySix(from, sourceRow, depth, into)
    else copyPanel(from, sourceRow, depth, into)
    return
  }
  const panelRow = <usize>width << 2
  for (let member = 0; member < width; ++member) {
    const from = member < members ? elementAt(m, row, column + member) : 0
    let to = into + (<usize>member << 2)
    for (let p: usize = 0; p < <usize>depth; ++p) {
      store<f32>(to, from ? load<f32>(from + p * sourceRow) : 0)
      to += panelRow
    }
  }
}

function copySix(from: usize, sourceRow: usize, depth: i32, into: usize): void {
  for (; depth > 0; --depth) {
    v128.store(into, v128.load(from))
    store<u64>(into, load<u64>(from, 16), 16)
    from += sourceRow
    into += 24
  }
}

function copyPanel(from: usize, sourceRow: usize, depth: i32, into: usize): void {
  for (; depth > 0; --depth) {
    const c0 = v128.load(from)
    const c1 = v128.load(from, 16)
    v128.store(into, c0)
    v128.store(into, c1, 16)
    if (NR == 16) {
      const c2 = v128.load(from, 32)
      const c3 = v128.load(from, 48)
      v128.store(into, c2, 32)
      v128.store(into, c3, 48)
    }
    from += sourceRow
    into += NR * 4
  }
}

function copyFourPanels(from: usize, sourceRow: usize, depth: i32, into: usize): void {
  const panel = <usize>depth * (NR * 4)
  const into1 = into + panel
  const into2 = into1 + panel
  const into3 = into2 + panel
  const end = into1
  let at: usize = 0
  for (; into + at < end; at += NR * 4) {
    copyLine(from, into + at)
    copyLine(from + NR * 4, into1 + at)
    copyLine(from + 2 * NR * 4, into2 + at)
    copyLine(from + 3 * NR * 4, into3 + at)
    from += sourceRow
  }
}

/** NR elements. */
// @ts-ignore: decorator
@inline
function copyLine(from: usize, into: usize): void {
  const c0 = v128.load(from)
  const c1 = v128.load(from, 16)
  if (NR == 16) {
    const c2 = v128.load(from, 32)
    const c3 = v128.load(from, 48)
    v128.store(into, c3, 48)
    v128.store(into, c2, 32)
  }
  v128.store(into, c1, 16)
  v128.store(into, c0)
}
