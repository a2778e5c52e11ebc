/** Rows whose columns stand split into heads, as attention reads them: [batch, heads, positions, width]. */
import type { Reals } from '../define-op.ts'

export interface SplitRows {
  positions: number
  heads: number
  width: number
}

/** Where the head's part of a row begins; row = batch·positions + position. */
function placeOf({ positions, heads, width }: SplitRows, row: number, head: number): number {
  const batch = Math.floor(row / positions)
  return ((batch * heads + head) * positions + (row - batch * positions)) * width
}

/** into[head·width + j] = from[batch, head, position, j] */
export function readRow(from: Reals, split: SplitRows, row: number, into: Float64Array): void {
  for (let head = 0; head < split.heads; head++) {
    const at = placeOf(split, row, head)
    const column = head * split.width
    for (let j = 0; j < split.width; j++) into[column + j] = from[at + j]
  }
}

/** into[batch, head, position, j] = from[head·width + j] for the columns [begin, end). */
export function writeRow(
  into: Reals,
  split: SplitRows,
  row: number,
  from: Float64Array,
  begin: number,
  end: number,
): void {
  for (let head = Math.floor(begin / split.width); head * split.width < end; head++) {
    const column = head * split.width
    const at = placeOf(split, row, head)
    const last = Math.min(end - column, split.width)
    for (let j = Math.max(begin - column, 0); j < last; j++) into[at + j] = from[column + j]
  }
}
