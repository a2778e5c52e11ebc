/** What is done with gates apart from the recurrence, in both precisions. */
import type { Args, Tensors } from '../define-op.ts'
import type * as op from './op.ts'

/** factors = e^decay, in float64 and rounded once. */
export function decayFactors(
  { decay, factors }: Tensors<typeof op.decayFactors>,
  { width }: Args<typeof op.decayFactors>,
  from: number,
  to: number,
): void {
  for (let i = from * width; i < to * width; i++) factors[i] = Math.exp(decay[i])
}

/** y = Σ over the last axis, in float64 and rounded once. */
export function sumOverHeads(
  { x, y }: Tensors<typeof op.sumOverHeads>,
  { width }: Args<typeof op.sumOverHeads>,
  from: number,
  to: number,
): void {
  for (let row = from; row < to; row++) {
    let sum = 0
    for (let i = row * width; i < (row + 1) * width; i++) sum += x[i]
    y[row] = sum
  }
}
