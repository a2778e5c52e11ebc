import type { Reals } from '../kernel-set.ts'

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
