/** How far an approximation's output is from exact attention's. */
import type { Args, Tensors } from '../define-op.ts'
import type * as op from './op.ts'

/**
 * partials[unit] = (max |o − e|, Σ (o − e)², Σ e², count) over the rows of one (batch, head) that are no padding, which
 * are not read; o output, e exact [batch, heads, queries, dimV], or with positions before heads. A NaN anywhere gives NaN. Writes its partials.
 */
export function outputError(
  t: Tensors<typeof op.outputError>,
  a: Args<typeof op.outputError>,
  from: number,
  to: number,
): void {
  for (let unit = from; unit < to; unit++) {
    const b = Math.floor(unit / a.heads)
    const first = a.positionsFirst ? b * a.queries * a.heads + (unit % a.heads) : unit * a.queries
    const step = a.positionsFirst ? a.heads : 1
    const rows = t.qLengths?.[b] ?? a.queries
    let [largest, squares, exactSquares] = [0, 0, 0]
    for (let i = 0; i < rows; i++) {
      const begin = (first + i * step) * a.dimV
      for (let at = begin; at < begin + a.dimV; at++) {
        const difference = t.output[at] - t.exact[at]
        largest = Math.max(largest, Math.abs(difference))
        squares += difference * difference
        exactSquares += t.exact[at] * t.exact[at]
      }
    }
    t.partials.set([largest, squares, exactSquares, rows * a.dimV], 4 * unit)
  }
}

/**
 *   errors = (max |o − e|, √(Σ (o − e)²/count), √(Σ (o − e)²/Σ e²))
 *
 * the last 0 where nothing differs, even from zeros. One unit; writes errors.
 */
export function outputErrorTotal(
  t: Tensors<typeof op.outputErrorTotal>,
  a: Args<typeof op.outputErrorTotal>,
  from: number,
  to: number,
): void {
  if (from >= to) return
  let [largest, squares, exactSquares, count] = [0, 0, 0, 0]
  for (let at = 0; at < 4 * a.batch * a.heads; at += 4) {
    largest = Math.max(largest, t.partials[at])
    squares += t.partials[at + 1]
    exactSquares += t.partials[at + 2]
    count += t.partials[at + 3]
  }
  const rms = count === 0 ? 0 : Math.sqrt(squares / count)
  const relative = squares === 0 ? 0 : Math.sqrt(squares / exactSquares)
  t.errors.set([largest, rms, relative])
}
