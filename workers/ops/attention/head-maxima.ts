import type { Args, Tensors } from '../define-op.ts'
import type * as op from './op.ts'

/**
 * y[c] = max over parts and rows of x [parts, count, rows], −∞ where there is nothing; a NaN comes through.
 * A unit is an element of y.
 */
export function headMaxima(
  { x, y }: Tensors<typeof op.headMaxima>,
  a: Args<typeof op.headMaxima>,
  from: number,
  to: number,
): void {
  for (let c = from; c < to; c++) {
    let most = Number.NEGATIVE_INFINITY
    for (let part = 0; part < a.parts; part++) {
      const begin = (part * a.count + c) * a.rows
      for (let at = begin; at < begin + a.rows; at++) most = Math.max(most, x[at])
    }
    y[c] = most
  }
}
