import { uniformNumbers } from './numbers.ts'

/**
 * [0, units) in one piece, or cut at random by a seed. Odd seeds keep the order, so that a piece may reach over several
 * chains; even ones cut each chain by itself and let the chains overtake one another, each staying in its own order.
 */
export function ranges(units: number, chain: number, seed: number | undefined): [from: number, to: number][] {
  if (seed === undefined) return [[0, units]]
  const uniform = uniformNumbers(seed)
  if (seed % 2 !== 0) return pieces(0, units)
  const chains: [number, number][][] = []
  for (let from = 0; from < units; from += chain) chains.push(pieces(from, from + chain))
  const order: [number, number][] = []
  while (chains.length > 0) {
    const pick = Math.floor(uniform() * chains.length)
    order.push(chains[pick].shift() as [number, number])
    if (chains[pick].length === 0) chains.splice(pick, 1)
  }
  return order

  function pieces(begin: number, end: number): [number, number][] {
    const cut: [number, number][] = []
    for (let from = begin; from < end; ) {
      const to = Math.min(end, from + 1 + Math.floor(uniform() * 4))
      cut.push([from, to])
      from = to
    }
    return cut
  }
}
