/**
 * A matrix of rows whose columns may stand split into heads, as attention reads them: [batch, heads, positions, width].
 * Row = batch·positions + position, column = head·width + j; with one head that is a plain matrix.
 */
@unmanaged
export class SplitRows {
  /** 0 where there is no such tensor */
  start: usize
  heads: i32
  positions: i32
  width: i32
}

/** The address of an element. */
// @ts-ignore: decorator
@inline
export function elementAt(m: SplitRows, row: i32, column: i32): usize {
  if (m.heads == 1) return m.start + ((<usize>row * <usize>m.width + <usize>column) << 2)
  const batch = row / m.positions
  const head = column / m.width
  const part = <usize>batch * <usize>m.heads + <usize>head
  const line = part * <usize>m.positions + <usize>(row - batch * m.positions)
  return m.start + ((line * <usize>m.width + <usize>(column - head * m.width)) << 2)
}

/** How many of `rows` rows from `row` on stand at a constant distance of width elements. */
// @ts-ignore: decorator
@inline
export function rowRun(m: SplitRows, row: i32, rows: i32): i32 {
  return m.heads == 1 ? rows : min(rows, m.positions - (row % m.positions))
}

/** How many of `columns` columns from `column` on are neighbours. */
// @ts-ignore: decorator
@inline
export function columnRun(m: SplitRows, column: i32, columns: i32): i32 {
  return m.heads == 1 ? columns : min(columns, m.width - (column % m.width))
}
