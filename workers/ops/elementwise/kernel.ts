/** Rows and positions that are copied where they belong: padding, and the past before the new. */
import type { Args, Tensors } from '../define-op.ts'
import type * as op from './op.ts'

/**
 * Rows that are padding become zeros:
 *
 *   y[b, i, :] = x[b, i, :] for i < lengths[b], 0 from there on
 *
 * for rows of x, y [batch, positions, dim]. What stands in padding is not read as a number: it may be NaN. Writes y.
 */
export function maskRows(
  t: Tensors<typeof op.maskRows>,
  a: Args<typeof op.maskRows>,
  from: number,
  to: number,
): void {
  for (let row = from; row < to; row++) {
    const begin = row * a.dim
    const live = row % a.positions < t.lengths[Math.floor(row / a.positions)]
    if (live) t.y.set(t.x.subarray(begin, begin + a.dim), begin)
    else t.y.fill(0, begin, begin + a.dim)
  }
}

/**
 * Keys and values of the past before the new ones, as generation step by step needs them: y[h] = [past[h] ‖ x[h]] along
 * positions. A unit is a head (of batch·heads); writes its part of y.
 */
export function concatForward(
  t: Tensors<typeof op.concatForward>,
  a: Args<typeof op.concatForward>,
  from: number,
  to: number,
): void {
  const [past, added] = [a.past * a.dim, a.positions * a.dim]
  for (let head = from; head < to; head++) {
    const at = head * (past + added)
    t.y.set(t.past.subarray(head * past, (head + 1) * past), at)
    t.y.set(t.x.subarray(head * added, (head + 1) * added), at + past)
  }
}

/** Differentiates concatForward: each part's gradient is its part of gradY. Writes gradPast and gradX where given. */
export function concatBackward(
  t: Tensors<typeof op.concatBackward>,
  a: Args<typeof op.concatBackward>,
  from: number,
  to: number,
): void {
  const [past, added] = [a.past * a.dim, a.positions * a.dim]
  for (let head = from; head < to; head++) {
    const at = head * (past + added)
    t.gradPast?.set(t.gradY.subarray(at, at + past), head * past)
    t.gradX?.set(t.gradY.subarray(at + past, at + past + added), head * added)
  }
}
