/**
 * The orders between the layouts of attention's tensors. Most kernels read heads first, [heads, positions] of one sequence after the other;
 * a request may have positions first, [positions of all sequences, heads]. With such an order `gatherRows` puts the one into the other.
 */
import { defineFamily, oneOf, price, type Tensors } from '../define-op.ts'

/** A row that is placed, and a position. */
const ROW = price(1.5)
const POSITION = price(5)

const family = defineFamily('head-order')

/**
 * With sequence s at positions offsets[s] … offsets[s + 1] of `positions` altogether:
 *
 *   toHeads      order[heads·offsets[s] + h·n + i] = (offsets[s] + i)·heads + h       n = the sequence's length
 *   toPositions  the inverse: where the row of position and head [positions, heads] stands
 *   toRows       the same for [heads, positions]
 *   fromRows     the inverse of that
 *
 * Unit = one position.
 */
export const headOrder = family.define('headOrder', {
  tensors: {
    /** [sequences + 1]; without it all sequences are of the same length */
    offsets: 'in?:int32',
    /** [heads·positions] */
    order: 'out:int32',
  },
  args: {
    form: oneOf('toHeads', 'toPositions', 'toRows', 'fromRows'),
    sequences: 'i32',
    positions: 'i32',
    heads: 'i32',
  },
  units: a => a.positions,
  cost: (a, { precision: p }) => ({ nanoseconds: a.positions * (POSITION[p] + a.heads * ROW[p]) }),
  // it reads no tensor of the request, and so stands beside what reads them
  phase: 'decode',
  shared: true,
})

/** places[t] = the position of t within its sequence + first. Unit = one position. */
export const sequencePlaces = family.define('sequencePlaces', {
  tensors: { offsets: 'in:int32', places: 'out:int32' },
  args: { sequences: 'i32', positions: 'i32', first: 'i32' },
  units: a => a.positions,
  cost: (a, { precision: p }) => ({ nanoseconds: a.positions * POSITION[p] }),
  phase: 'decode',
  shared: true,
})

export type SequencePlacesTensors = Tensors<typeof sequencePlaces>
export type HeadOrderTensors = Tensors<typeof headOrder>
