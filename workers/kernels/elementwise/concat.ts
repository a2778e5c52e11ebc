/** Keys and values of the past before the new ones, as generation step by step needs them. */
import type { ConcatArgs } from '../../layer-args.ts'
import type { Reals } from '../kernel-set.ts'

/** y[h] = [past[h] ‖ x[h]] along positions. A unit is a head (of batch·heads); writes its part of y. */
export function concatForward(
  t: { past: Reals; x: Reals; y: Reals },
  a: ConcatArgs,
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
  t: { gradY: Reals; gradPast?: Reals; gradX?: Reals },
  a: ConcatArgs,
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
