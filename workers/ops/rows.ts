import type { Reals } from './define-op.ts'

/** Σ_d x[xRow, d]·y[yRow, d] for rows of length dim. */
export function dot(x: Reals, xRow: number, y: Reals, yRow: number, dim: number): number {
  const xAt = xRow * dim
  const yAt = yRow * dim
  let sum = 0
  for (let d = 0; d < dim; d++) sum += x[xAt + d] * y[yAt + d]
  return sum
}

/** y[yRow, :] += factor·x[xRow, :] for rows of length dim. */
export function addRow(y: Reals, yRow: number, factor: number, x: Reals, xRow: number, dim: number): void {
  const yAt = yRow * dim
  const xAt = xRow * dim
  for (let d = 0; d < dim; d++) y[yAt + d] += factor * x[xAt + d]
}

/** ‖x‖₂ of the row that begins at `at`. Squares overflow, so the row is divided by its largest element first. */
export function euclideanNorm(x: Reals, at: number, dim: number): number {
  let largest = 0
  for (let d = at; d < at + dim; d++) largest = Math.max(largest, Math.abs(x[d]))
  // 0, ∞ and NaN are the norm already, and cannot be divided by.
  if (!(largest > 0 && largest < Number.POSITIVE_INFINITY)) return largest
  let sum = 0
  for (let d = at; d < at + dim; d++) sum += (x[d] / largest) ** 2
  return largest * Math.sqrt(sum)
}

export function isZeroRow(x: Reals, at: number, dim: number): boolean {
  for (let d = at; d < at + dim; d++) if (x[d] !== 0) return false
  return true
}
