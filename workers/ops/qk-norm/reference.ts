/**
 * Normalisation of query and key rows before their product, which bounds the scores.
 * Source: Henry et al. 2020 (query-key normalisation, l2); Zhang and Sennrich 2019 (RMSNorm, here without a gain).
 */
import type { Reals, Tensors } from '../define-op.ts'
import { euclideanNorm, isZeroRow } from '../rows.ts'
import type * as op from './op.ts'
import type { QkNormArgs } from './op.ts'

/**
 *   l2:  y = x/max(‖x‖₂, eps)        rms:  y = x/√(mean(x²) + eps)
 *
 * for rows of x, y [rows, dim]. Hazard: x² overflows for |x| > 1e154; the row is divided by its largest element first.
 * Writes y.
 */
export function qkNormForward(
  t: Tensors<typeof op.qkNormForward>,
  a: QkNormArgs,
  from: number,
  to: number,
): void {
  for (let row = from; row < to; row++) {
    const at = row * a.dim
    const divisor = divisorOf(t.x, at, a)
    for (let d = at; d < at + a.dim; d++) t.y[d] = t.x[d] / divisor
  }
}

/**
 * Differentiates qkNormForward; r is its divisor, g = gradY, and y = x/r is computed again:
 *
 *   l2:   gradX = (g − y·Σ_d y_d·g_d)/r, or g/eps where ‖x‖ ≤ eps (the divisor is then constant)
 *   rms:  gradX = (g − y·mean(y ⊙ g))/r
 *
 * Hazard: a row that nobody attends has g = 0, but its x may be NaN: all of g zero gives zeros, whatever x is.
 * Writes gradX.
 */
export function qkNormBackward(
  t: Tensors<typeof op.qkNormBackward>,
  a: QkNormArgs,
  from: number,
  to: number,
): void {
  for (let row = from; row < to; row++) {
    const at = row * a.dim
    if (isZeroRow(t.gradY, at, a.dim)) {
      t.gradX.fill(0, at, at + a.dim)
      continue
    }
    const divisor = divisorOf(t.x, at, a)
    let along = 0
    if (a.kind === 'rms' || divisor > a.eps) {
      for (let d = at; d < at + a.dim; d++) along += (t.x[d] / divisor) * t.gradY[d]
      if (a.kind === 'rms') along /= a.dim
    }
    for (let d = at; d < at + a.dim; d++) t.gradX[d] = (t.gradY[d] - (t.x[d] / divisor) * along) / divisor
  }
}

/** max(‖x‖, eps) or √(mean(x²) + eps); Math.max and Math.hypot carry NaN on. */
function divisorOf(x: Reals, at: number, { dim, kind, eps }: QkNormArgs): number {
  const norm = euclideanNorm(x, at, dim)
  return kind === 'l2' ? Math.max(norm, eps) : Math.hypot(norm / Math.sqrt(dim), Math.sqrt(eps))
}
