/** Where rows and their pairs stand: of a batch, or sequence by sequence, as packed-attention has them. */

/** Tensors of an op over such rows: where each sequence's queries, keys and pairs of one head begin, and end; none for a batch. */
export const starts = { cuQ: 'in?:int32', cuK: 'in?:int32', pairStarts: 'in?:float64' } as const

interface Starts {
  cuQ?: Int32Array
  cuK?: Int32Array
  pairStarts?: Float64Array
}

export interface RowPlace {
  sequence: number
  head: number
  keys: number
  /** where the row begins in a map */
  pairs: number
  /** which row it is with positions before heads */
  turned: number
}

export function firstPlace({ keys }: { keys: number }): RowPlace {
  return { sequence: 0, head: 0, keys, pairs: 0, turned: 0 }
}

/** Moves `place` to a row; those of packed sequences are asked for in ascending order. */
export function placeRow(
  { cuQ, cuK, pairStarts }: Starts,
  { heads, queries, keys }: { heads: number; queries: number; keys: number },
  row: number,
  place: RowPlace,
): void {
  if (!cuQ) {
    place.head = Math.floor(row / queries) % heads
    place.pairs = row * keys
    const before = row - (row % (heads * queries))
    place.turned = before + (row % queries) * heads + place.head
    return
  }
  let s = place.sequence
  while (heads * cuQ[s + 1] <= row) s++
  const inSequence = row - heads * cuQ[s]
  place.sequence = s
  const length = cuQ[s + 1] - cuQ[s]
  place.head = Math.floor(inSequence / length)
  place.turned = heads * cuQ[s] + (inSequence % length) * heads + place.head
  if (!cuK || !pairStarts) return
  place.keys = cuK[s + 1] - cuK[s]
  place.pairs = heads * pairStarts[s] + inSequence * place.keys
}
