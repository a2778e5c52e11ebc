/** Encodings of positions that are tables: sines to be added to x, angles to rotate by, distances to be added to the scores. */
import type { Args, Tensors } from '../define-op.ts'
import type * as op from './op.ts'

export { highestPosition, ropeFrequencies } from './frequencies.ts'

/**
 *   encoding[i, 2j] = sin((i + offset)/base^(2j/dim))        encoding[i, 2j + 1] = cos of the same
 *
 * An odd dim ends with a sine. Angles in float64: in float32 those of far positions would lose their last turns.
 * A unit is a position; writes its row. Source: Vaswani et al. 2017.
 */
export function sinusoidalTable(
  t: Tensors<typeof op.sinusoidalTable>,
  a: Args<typeof op.sinusoidalTable>,
  from: number,
  to: number,
): void {
  for (let position = from; position < to; position++) {
    const at = position * a.dim
    for (let d = 0; d < a.dim; d++) {
      const angle = (position + a.offset) / a.base ** ((d - (d % 2)) / a.dim)
      t.encoding[at + d] = d % 2 === 0 ? Math.sin(angle) : Math.cos(angle)
    }
  }
}

/**
 *   angle[row, j] = place·frequency_j,   cos[row, j] = factor·cos(angle),   sin[row, j] = factor·sin(angle)
 *
 * where place is places[row], or row + offset, and frequency_j is frequencies[j], or base^(−2j/dims). A unit is a row; writes
 * cos and sin of its angles, [positions, dims/2] each. Angles in float64, as above. Source: Su et al. 2021 (RoFormer).
 */
export function ropeTable(
  t: Tensors<typeof op.ropeTable>,
  a: Args<typeof op.ropeTable>,
  from: number,
  to: number,
): void {
  const half = a.dims / 2
  const frequencies =
    t.frequencies ?? Float64Array.from({ length: half }, (_, j) => a.base ** ((-2 * j) / a.dims))
  for (let row = from; row < to; row++) {
    const place = t.places?.[row] ?? row + a.offset
    for (let j = 0; j < half; j++) {
      const angle = place * frequencies[j]
      t.cos[row * half + j] = a.factor * Math.cos(angle)
      t.sin[row * half + j] = a.factor * Math.sin(angle)
    }
  }
}

/**
 *   bias[h, i, j] = −slopes[h]·|i − j|
 *
 * A unit is row (h, i) of bias [heads, queries, keys]; writes it. Source: Press, Smith and Lewis 2022 (ALiBi).
 */
export function alibiBias(
  t: Tensors<typeof op.alibiBias>,
  a: Args<typeof op.alibiBias>,
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
