/** What gradients are held against differences of the loss with. */

import type { Reals } from '../define-op.ts'
import { mix } from '../dropout.ts'
import { ELEMENT_BLOCK } from '../element-block.ts'
import type {
  LossArgs,
  LossTensors,
  MoveArgs,
  MoveTensors,
  SizeArgs,
  SizeTensors,
  SlopeArgs,
  SlopeTensors,
} from './op.ts'

/** figures = (√(mean x²), max|x|, how many) of the finite elements, 0 where there is none. One unit. */
export function tensorSize(t: SizeTensors, a: SizeArgs, from: number, to: number): void {
  if (from >= to) return
  let [sum, most, finite] = [0, 0, 0]
  for (let at = 0; at < a.count; at++) {
    const size = Math.abs(t.x[at])
    if (!(size < Number.POSITIVE_INFINITY)) continue
    finite++
    sum += size * size
    most = Math.max(most, size)
  }
  t.figures.set([Math.sqrt(sum / Math.max(1, finite)), most, finite])
}

/** Whether the direction goes down at an element. */
function isDown(seed: number, at: number): boolean {
  return (mix(at ^ mix(seed)) & 1) === 1
}

/**
 * `entry`: y[index] = x[index] + step·max(|x[index]|, rms); `direction`: y[i] = x[i] ± step·rms, the sign drawn from seed and i. An rms
 * of 0 counts as 1. A unit is ELEMENT_BLOCK elements.
 */
export function moveElements(t: MoveTensors, a: MoveArgs, from: number, to: number): void {
  const end = Math.min(to * ELEMENT_BLOCK, a.count)
  const size = t.figures[0] || 1
  for (let at = from * ELEMENT_BLOCK; at < end; at++) {
    const x = t.x[at]
    t.y[at] = x
    if (!Number.isFinite(x)) continue
    if (a.along === 'direction') t.y[at] = x + (isDown(a.seed, at) ? -a.step : a.step) * size
    else if (a.along === 'entry' && at === a.index) t.y[at] = x + a.step * Math.max(Math.abs(x), size)
  }
}

/** slope = Σ ±gradient/√count over the finite elements of x. One unit. */
export function alongDirection(t: SlopeTensors, a: SlopeArgs, from: number, to: number): void {
  if (from >= to) return
  let [sum, finite] = [0, 0]
  for (let at = 0; at < a.count; at++) {
    if (!Number.isFinite(t.x[at])) continue
    finite++
    sum += isDown(a.seed, at) ? -t.gradient[at] : t.gradient[at]
  }
  t.slope[0] = sum / Math.sqrt(Math.max(1, finite))
}

/** A sum whose rounding errors are summed apart (Neumaier): differences of two losses are small. */
class Sum {
  #sum = 0
  #lost = 0
  absolute = 0

  add(term: number): void {
    const sum = this.#sum + term
    const [large, small] = Math.abs(this.#sum) >= Math.abs(term) ? [this.#sum, term] : [term, this.#sum]
    this.#lost += large - sum + small
    this.#sum = sum
    this.absolute += Math.abs(term)
  }

  addProducts(a: Reals | undefined, b: Reals | undefined): void {
    // what stands in padding, or where nothing is attended, may be NaN
    for (let at = 0; a && b && at < a.length; at++) if (a[at] !== 0 && b[at] !== 0) this.add(a[at] * b[at])
  }

  get value(): number {
    return this.#sum + this.#lost
  }
}

/** value = (L, Σ|terms of L|). One unit. */
export function lossValue(t: LossTensors, a: LossArgs, from: number, to: number): void {
  if (from >= to) return
  const sum = new Sum()
  if (t.scalars) sum.add(t.scalars[0])
  sum.addProducts(t.output, t.gradOutput)
  sum.addProducts(t.weights, t.gradWeights)
  const rows = t.gradLogsumexp?.length ?? 0
  for (let row = 0; t.logsumexp && t.gradLogsumexp && row < rows; row++) {
    const live = t.qLengths?.[Math.floor(row / (a.heads * a.queries))] ?? a.queries
    if (row % a.queries >= live || !Number.isFinite(t.logsumexp[row])) continue
    sum.add(t.logsumexp[row] * t.gradLogsumexp[row])
  }
  t.value.set([sum.value, sum.absolute])
}
