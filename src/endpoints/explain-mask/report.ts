/** What a program has counted → the answer. */
import type { Ref } from '../../../workers/contract.ts'
import type { Rules } from '../../layers/attention/mask-rules.ts'

/** Rows that are listed. */
const MOST_EMPTY = 65536

export function reportOf(
  { names, geometry, times, counts, attended, row }: Rules,
  unknown: string[],
  map: boolean,
  read: (buffer: Ref) => Float64Array,
): Record<string, unknown> {
  const width = 1 + 2 * names.length
  const sums = new Float64Array(width)
  for (const [at, count] of read(counts).entries()) sums[at % width] += count
  const all = times.batch * times.heads
  const { batch, heads, queries, keys } = geometry
  const pairs = all * sums[0]
  const total = batch * heads * queries * keys
  const rules = names.map((name, rule) => {
    const [forbids, alone] = [all * sums[1 + 2 * rule], all * sums[2 + 2 * rule]]
    return [name, { forbids, alone, with_others: forbids - alone }]
  })
  const empty = emptyRows(read(attended), geometry, times)
  return {
    density: total === 0 ? 0 : pairs / total,
    pairs,
    empty_rows: empty.rows,
    empty_row_count: empty.count,
    rules: Object.fromEntries(rules),
    ...(unknown.length > 0 && { unknown }),
    ...(row !== undefined && { row: Array.from(read(row), bits => namesOf(bits, names)) }),
    ...(map && { legend: Object.fromEntries(names.map((name, rule) => [name, 2 ** rule])) }),
  }
}

function namesOf(bits: number, names: string[]): string[] {
  return names.filter((_, rule) => Math.floor(bits / 2 ** rule) % 2 === 1)
}

/** [b, h, i], in order; a row that was counted once for several stands for each. */
function emptyRows(
  attended: Float64Array,
  { batch, heads, queries }: Rules['geometry'],
  times: Rules['times'],
) {
  const [batches, headsCounted] = [batch / times.batch, heads / times.heads]
  const rows: number[][] = []
  let count = 0
  for (let b = 0; b < batch; b++) {
    for (let h = 0; h < heads; h++) {
      const first = ((b % batches) * headsCounted + (h % headsCounted)) * queries
      for (let i = 0; i < queries; i++) {
        if (attended[first + i] !== 0) continue
        if (count++ < MOST_EMPTY) rows.push([b, h, i])
      }
    }
  }
  return { rows, count }
}
