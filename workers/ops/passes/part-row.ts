import type { GatherArgs } from './op.ts'

/** Where row `row` of [parts, heads, rows] stands in its part's order. */
export function partRow(ranks: Int32Array, { rows }: GatherArgs, row: number): number {
  return row - (row % rows) + ranks[row]
}
