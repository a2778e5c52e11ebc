/** Encodings of positions that are tables: sines to be added to x, and distances to be added to the scores. */
import type { AlibiBiasArgs, SinusoidalArgs } from '../../layer-args.ts'
import type { Reals } from '../kernel-set.ts'

/**
 *   encoding[i, 2j] = sin((i + offset)/base^(2j/dim))        encoding[i, 2j + 1] = cos of the same
 *
 * An odd dim ends with a sine. Angles in float64: in float32 those of far positions would lose their last turns.
 * A unit is a position; writes its row. Source: Vaswani et al. 2017.
 */
export function sinusoidalTable(t: { encoding: Reals }, a: SinusoidalArgs, from: number, to: number): void {
  for (let position = from; position < to; position++) {
    const at = position * a.dim
    for (let d = 0; d < a.dim; d++) {
      const angle = (position + a.offset) / a.base ** ((d - (d % 2)) / a.dim)
      t.encoding[at + d] = d % 2 === 0 ? Math.sin(angle) : Math.cos(angle)
    }
  }
}

/**
 *   bias[h, i, j] = −slopes[h]·|i − j|
 *
 * A unit is row (h, i) of bias [heads, queries, keys]; writes it. Source: Press, Smith and Lewis 2022 (ALiBi).
 */
export function alibiBias(
  t: { slopes: Reals; bias: Reals },
  a: AlibiBiasArgs,
  from: number,
  to: number,
): void {
  for (let row = from; row < to; row++) {
    const slope = t.slopes[Math.floor(row / a.queries)]
    const i = row % a.queries
    // 0 − x, so that the diagonal is 0 and not −0
    for (let j = 0; j < a.keys; j++) t.bias[row * a.keys + j] = 0 - slope * Math.abs(i - j)
  }
}
