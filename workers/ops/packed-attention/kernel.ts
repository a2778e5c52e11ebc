import type { GatherArgs, GatherTensors, SpreadArgs, SpreadTensors } from './op.ts'

/**
 *   y[h, t, u] = x[h, t, u] where query t and key u belong to the same sequence, elsewhere −∞ (masked) or 0
 *
 * x has the pairs of a sequence, [heads, its queries, its keys], behind those of the sequences before it. A unit is a row of y.
 */
export function spreadPairs(
  { x, cuQ, cuK, pairStarts, y }: SpreadTensors,
  { heads, queries, keys, masked }: SpreadArgs,
  from: number,
  to: number,
): void {
  let s = 0
  for (let row = from; row < to; row++) {
    const t = row % queries
    if (t === 0) s = 0
    while (cuQ[s + 1] <= t) s++
    const [first, last] = [cuK[s], cuK[s + 1]]
    const head = Math.floor(row / queries)
    const inHead = head * (cuQ[s + 1] - cuQ[s]) + t - cuQ[s]
    const at = heads * pairStarts[s] + inHead * (last - first)
    y.fill(masked ? Number.NEGATIVE_INFINITY : 0, row * keys, (row + 1) * keys)
    y.set(x.subarray(at, at + last - first), row * keys + first)
  }
}

/** The inverse: what stands between queries and keys of different sequences is not read. A unit is a row of x. */
export function gatherPairs(t: GatherTensors, a: GatherArgs, from: number, to: number): void {
  const { x, cuQ, cuK, pairStarts, y } = t
  let s = 0
  for (let row = from; row < to; row++) {
    const head = Math.floor(row / a.queries)
    const query = row % a.queries
    if (query === 0) s = 0
    while (cuQ[s + 1] <= query) s++
    const keys = cuK[s + 1] - cuK[s]
    const inSequence = head * (cuQ[s + 1] - cuQ[s]) + query - cuQ[s]
    const begin = row * a.keys + cuK[s]
    y.set(x.subarray(begin, begin + keys), a.heads * pairStarts[s] + inSequence * keys)
  }
}
