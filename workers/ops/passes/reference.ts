/** Rows into the order of a pass, and back. */
import type { Tensors } from '../define-op.ts'
import type * as op from './op.ts'
import type { GatherArgs } from './op.ts'
import { partRow } from './part-row.ts'

/** y[p, h, t, :] = x[h, order[p, h, t], :] for x [heads, rows, dim]. A unit is a row of y; writes it. */
export function gatherRows(t: Tensors<typeof op.gatherRows>, a: GatherArgs, from: number, to: number): void {
  const { x, y } = t
  for (let row = from; row < to; row++) {
    const head = Math.floor(row / a.rows) % a.heads
    const at = (head * a.rows + t.order[row]) * a.dim
    const into = row * a.dim
    for (let d = 0; d < a.dim; d++) y[into + d] = x[at + d]
  }
}

/**
 * y[h, i, :] = Σ_p x[p, h, ranks[p, h, i], :]: the gradients of all passes' rows, back in their own order. It
 * differentiates gatherRows, an order being a permutation. A unit is a row of y; writes it.
 */
export function sumParts(t: Tensors<typeof op.sumParts>, a: GatherArgs, from: number, to: number): void {
  const { x, y } = t
  const rows = a.heads * a.rows
  for (let row = from; row < to; row++) {
    const into = row * a.dim
    y.fill(0, into, into + a.dim)
    for (let p = 0; p < a.parts; p++) {
      const at = partRow(t.ranks, a, p * rows + row) * a.dim
      for (let d = 0; d < a.dim; d++) y[into + d] += x[at + d]
    }
  }
}
