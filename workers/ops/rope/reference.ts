/**
 * Rotary position embedding: the angle between a query and a key then depends on i − j alone.
 * Source: Su et al. 2021 (RoFormer).
 */
import type { Reals, Tensors } from '../define-op.ts'
import type * as op from './op.ts'
import type { RopeArgs } from './op.ts'

/**
 *   (y_a, y_b) = (x_a·cos − x_b·sin, x_a·sin + x_b·cos)
 *
 * for the pairs (a, b) = (j, j + dims/2), or (2j, 2j + 1) when interleaved, of every row of x, y [batch, heads, positions, dim]; the
 * table [batch, positions] has a row for each batch element and position; `alike` rows stand in the place of each. Elements from `dims` on are copied. Writes y.
 */
export function ropeForward(t: Tensors<typeof op.ropeForward>, a: RopeArgs, from: number, to: number): void {
  rotate(t.x, t.cos, t.sin, 1, t.y, a, from, to)
}

/** Differentiates ropeForward: the transpose of a rotation is the one by the opposite angle. Writes gradX. */
export function ropeBackward(
  t: Tensors<typeof op.ropeBackward>,
  a: RopeArgs,
  from: number,
  to: number,
): void {
  rotate(t.gradY, t.cos, t.sin, -1, t.gradX, a, from, to)
}

/** Rotates by direction·angle. */
function rotate(
  x: Reals,
  cos: Reals,
  sin: Reals,
  direction: 1 | -1,
  y: Reals,
  a: RopeArgs,
  from: number,
  to: number,
): void {
  const half = a.dims / 2
  for (let row = from; row < to; row++) {
    const at = row * a.dim
    const turn = Math.floor(row / a.alike)
    const tableRow = Math.floor(turn / (a.heads * a.positions)) * a.positions + (turn % a.positions)
    const tableAt = tableRow * half
    for (let j = 0; j < half; j++) {
      const first = at + (a.interleaved ? 2 * j : j)
      const second = a.interleaved ? first + 1 : first + half
      const c = cos[tableAt + j]
      const s = direction * sin[tableAt + j]
      const [u, v] = [x[first], x[second]]
      y[first] = u * c - v * s
      y[second] = u * s + v * c
    }
    for (let d = at + a.dims; d < at + a.dim; d++) y[d] = x[d]
  }
}
