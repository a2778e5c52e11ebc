/**
 * Normalisation of rows with a gain and an offset.
 * Sources: Ba, Kiros and Hinton 2016 (LayerNorm); Zhang and Sennrich 2019 (RMSNorm).
 */
import type { Reals, Tensors } from '../define-op.ts'
import { euclideanNorm, isZeroRow } from '../rows.ts'
import type * as op from './op.ts'
import { NORM_ROWS, type NormArgs } from './op.ts'

/**
 *   layer:  x̂ = (x − μ)/r, μ = mean(x), r = √(mean((x − μ)²) + eps)
 *   rms:    x̂ = x/r,       r = √(mean(x²) + eps)
 *   y = x̂ ⊙ gamma + beta
 *
 * for rows of x, y [rows, dim]; gamma and beta [dim], 1 and 0 where not given.
 * Hazards: mean(x²) − mean(x)² cancels, so μ is taken off first; squares overflow, so the row is divided by its largest
 * element before they are formed. Writes y.
 */
export function normForward(t: Tensors<typeof op.normForward>, a: NormArgs, from: number, to: number): void {
  const unit = new Float64Array(a.dim)
  for (let row = from; row < to; row++) {
    const at = row * a.dim
    normalise(t.x, at, a, unit)
    for (let d = 0; d < a.dim; d++) {
      const scaled = t.gamma ? unit[d] * t.gamma[d] : unit[d]
      t.y[at + d] = t.beta ? scaled + t.beta[d] : scaled
    }
  }
}

/**
 * Differentiates normForward; x̂ and r are computed again, g = gradY ⊙ gamma:
 *
 *   layer:  gradX = (g − mean(g) − x̂·mean(g ⊙ x̂))/r + residual
 *   rms:    gradX = (g − x̂·mean(g ⊙ x̂))/r + residual
 *   partialGamma[unit] = Σ_rows gradY ⊙ x̂        partialBeta[unit] = Σ_rows gradY
 *
 * residual, where given, is what else reaches x (a skip connection).
 * Hazard: a row that nobody read has gradY = 0, but its x may be NaN: it passes its residual on (or 0) and adds nothing.
 * A unit is NORM_ROWS rows; writes gradX and, where given, its row of the partial sums.
 */
export function normBackward(
  t: Tensors<typeof op.normBackward>,
  a: NormArgs,
  from: number,
  to: number,
): void {
  const unit = new Float64Array(a.dim)
  const g = new Float64Array(a.dim)
  const gammaSums = new Float64Array(a.dim)
  const betaSums = new Float64Array(a.dim)
  for (let block = from; block < to; block++) {
    gammaSums.fill(0)
    betaSums.fill(0)
    for (let row = block * NORM_ROWS; row < Math.min((block + 1) * NORM_ROWS, a.rows); row++) {
      const at = row * a.dim
      if (isZeroRow(t.gradY, at, a.dim)) {
        for (let d = at; d < at + a.dim; d++) t.gradX[d] = t.residual ? t.residual[d] : 0
        continue
      }
      const r = normalise(t.x, at, a, unit)
      let mean = 0
      let along = 0
      for (let d = 0; d < a.dim; d++) {
        gammaSums[d] += t.gradY[at + d] * unit[d]
        betaSums[d] += t.gradY[at + d]
        g[d] = t.gamma ? t.gradY[at + d] * t.gamma[d] : t.gradY[at + d]
        mean += g[d]
        along += g[d] * unit[d]
      }
      mean = a.kind === 'layer' ? mean / a.dim : 0
      along /= a.dim
      for (let d = 0; d < a.dim; d++) {
        const gradient = (g[d] - mean - unit[d] * along) / r
        t.gradX[at + d] = t.residual ? gradient + t.residual[at + d] : gradient
      }
    }
    t.partialGamma?.set(gammaSums, block * a.dim)
    t.partialBeta?.set(betaSums, block * a.dim)
  }
}

/** into = x̂ of the row that begins at `at`; returns r. */
function normalise(x: Reals, at: number, { dim, kind, eps }: NormArgs, into: Float64Array): number {
  let mean = 0
  if (kind === 'layer') {
    for (let d = 0; d < dim; d++) mean += x[at + d]
    mean /= dim
  }
  for (let d = 0; d < dim; d++) into[d] = x[at + d] - mean
  const r = Math.hypot(euclideanNorm(into, 0, dim) / Math.sqrt(dim), Math.sqrt(eps))
  for (let d = 0; d < dim; d++) into[d] /= r
  return r
}
