/** φ, its logarithm and its slope. */
import type { Reals } from '../../define-op.ts'
import { PLAIN_LOG_64 } from '../op.ts'

/** φ(x) = elu(x) + 1. */
export function feature(x: number): number {
  return x > 0 ? x + 1 : Math.exp(x)
}

/** φ′(x). */
export function featureSlope(x: number): number {
  return x > 0 ? 1 : Math.exp(x)
}

/** l(x) = ln φ(x). */
export function logFeature(x: number): number {
  return x > 0 ? Math.log1p(x) : x
}

/** φ′(x)/φ(x). */
export function slopeRatio(x: number): number {
  return x > 0 ? 1 / (1 + x) : 1
}

/** φ of one row. */
export function featuresOf(x: Reals, row: number, dim: number): Float64Array {
  return Float64Array.from(x.subarray(row * dim, (row + 1) * dim), feature)
}

/** φ(x)·e^m, −∞ being the scale of a sum of nothing. */
export function scaledFeature(x: number, m: number): number {
  return m === 0 || m === Number.NEGATIVE_INFINITY ? feature(x) : Math.exp(logFeature(x) + m)
}

/** The scale of what has the largest logarithm `log`: none where that is ordinary, or not finite. */
export function scaleOf(log: number): number {
  return Math.abs(log) > PLAIN_LOG_64 && Math.abs(log) < Number.POSITIVE_INFINITY ? log : 0
}
