import type { Args } from '../define-op.ts'
import type * as op from './op.ts'
import type { HeadOrderTensors, SequencePlacesTensors } from './op.ts'

/** See op.ts for the formulas. A unit is a position; writes the places of its row of every head. */
export function headOrder(
  { offsets, order }: HeadOrderTensors,
  { form, sequences, positions, heads }: Args<typeof op.headOrder>,
  from: number,
  to: number,
): void {
  const startOf = (s: number) => offsets?.[s] ?? s * (positions / sequences)
  let s = sequenceAt(startOf, sequences, from)
  for (let t = from; t < to; ) {
    while (startOf(s + 1) <= t) s++
    const start = startOf(s)
    const length = startOf(s + 1) - start
    for (const end = Math.min(to, start + length); t < end; t++) {
      let headsFirst = heads * start + t - start
      for (let h = 0; h < heads; h++, headsFirst += length) {
        if (form === 'toHeads') order[headsFirst] = t * heads + h
        else if (form === 'toPositions') order[t * heads + h] = headsFirst
        else if (form === 'toRows') order[h * positions + t] = headsFirst
        else order[headsFirst] = h * positions + t
      }
    }
  }
}

/** See op.ts. A unit is a position; writes its place. */
export function sequencePlaces(
  { offsets, places }: SequencePlacesTensors,
  { sequences, first }: Args<typeof op.sequencePlaces>,
  from: number,
  to: number,
): void {
  let s = sequenceAt(s => offsets[s], sequences, from)
  for (let t = from; t < to; t++) {
    while (offsets[s + 1] <= t) s++
    places[t] = t - offsets[s] + first
  }
}

/** The last sequence that begins at position t or before, by bisection. */
function sequenceAt(startOf: (s: number) => number, sequences: number, t: number): number {
  let [first, last] = [0, sequences]
  while (last - first > 1) {
    const middle = (first + last) >> 1
    if (startOf(middle) <= t) first = middle
    else last = middle
  }
  return first
}
