/** What a mistake makes of a right evaluation, where no request can say it. */

import { ELEMENT_BLOCK } from '../element-block.ts'
import { dot } from '../rows.ts'
import type {
  CombineArgs,
  CombineTensors,
  DeltaArgs,
  DeltaTensors,
  EmptyRowsArgs,
  EmptyRowsTensors,
  InvertTensors,
  KeepArgs,
  KeepTensors,
  MoveArgs,
  MoveTensors,
} from './op.ts'

/** y[i] = factor·x[i] + share·z[stride·⌊i/period⌋]. A unit is ELEMENT_BLOCK elements; y may be x itself. */
export function combineElements({ x, z, y }: CombineTensors, a: CombineArgs, from: number, to: number): void {
  const end = Math.min(to * ELEMENT_BLOCK, a.count)
  for (let at = from * ELEMENT_BLOCK; at < end; at++) {
    const other = z === undefined ? 0 : a.share * z[a.stride * Math.floor(at / a.period)]
    y[at] = a.factor * x[at] + other
  }
}

/** terms[row] = given[row] − Σ_d a·b; the given alone (or 0) where a row attends to nothing. A unit is a row. */
export function withoutDelta(t: DeltaTensors, a: DeltaArgs, from: number, to: number): void {
  for (let row = from; row < to; row++) {
    const sum = t.denominator[2 * row + 1] === 0 ? 0 : dot(t.a, row, t.b, row, a.dim)
    t.terms[row] = (t.given?.[row] ?? 0) - sum
  }
}

/** y = x, but NaN or the mean of the values of all keys where a row attends to nothing. A unit is a row. */
export function fillEmptyRows(t: EmptyRowsTensors, a: EmptyRowsArgs, from: number, to: number): void {
  for (let row = from; row < to; row++) {
    const at = row * a.dim
    const batchHead = Math.floor(row / a.queries)
    const [b, h] = [Math.floor(batchHead / a.heads), batchHead % a.heads]
    const first = (b * a.kvHeads + Math.floor((h * a.kvHeads) / a.heads)) * a.keys
    for (let d = 0; d < a.dim; d++) {
      let value = t.x[at + d]
      if (t.denominator[2 * row + 1] === 0) {
        let sum = 0
        for (let key = first; a.by === 'mean' && key < first + a.keys; key++) sum += t.v[key * a.dim + d]
        value = a.by === 'mean' ? sum / a.keys : Number.NaN
      }
      t.y[at + d] = value
    }
  }
}

/** y = 1 where x = 0, else 0. A unit is ELEMENT_BLOCK elements. */
export function invertMask({ x, y }: InvertTensors, a: { count: number }, from: number, to: number): void {
  const end = Math.min(to * ELEMENT_BLOCK, a.count)
  for (let at = from * ELEMENT_BLOCK; at < end; at++) y[at] = x[at] === 0 ? 1 : 0
}

/** y = x with the ends of its intervals moved, within [0, keys]. A unit is ELEMENT_BLOCK rows. */
export function moveIntervals({ x, y }: MoveTensors, a: MoveArgs, from: number, to: number): void {
  const within = (key: number) => Math.min(Math.max(key, 0), a.keys)
  for (let row = from * ELEMENT_BLOCK; row < Math.min(to * ELEMENT_BLOCK, a.rows); row++) {
    y[2 * row] = within(x[2 * row] + a.lo)
    y[2 * row + 1] = within(x[2 * row + 1] + a.hi)
  }
}

/** y = x of one head of each group, 0 of the others. A unit is a head. */
export function keepMembers({ x, y }: KeepTensors, a: KeepArgs, from: number, to: number): void {
  for (let head = from; head < to; head++) {
    const [begin, end] = [head * a.width, (head + 1) * a.width]
    if (head % a.group === a.kept) y.set(x.subarray(begin, end), begin)
    else y.fill(0, begin, end)
  }
}
