/** From a value to its place in a colormap. */
import type { MapKind } from './colormap.ts'

export interface Scale {
  kind: MapKind
  /** values at the two ends; symmetric around 0 where the map diverges */
  low: number
  high: number
  /** logarithmic, over this many powers of ten below `high`; sequential maps only */
  decades?: number
}

/** Index 0…255. A value that is no number is drawn as nothing at all, which the caller sees to. */
export function place({ low, high, decades }: Scale, value: number): number {
  if (decades !== undefined) {
    if (value <= 0) return 0
    return clamp(1 + Math.log10(value / high) / decades)
  }
  return high === low ? (low < 0 ? 128 : 0) : clamp((value - low) / (high - low))
}

function clamp(t: number): number {
  return Math.round(255 * Math.min(1, Math.max(0, t)))
}

/** The scale of some values: 0 to the largest for weights, as far below 0 as above it for everything else. */
export function scaleOf(kind: MapKind, values: Iterable<number>): Scale {
  let high = 0
  for (const value of values) if (Number.isFinite(value) && Math.abs(value) > high) high = Math.abs(value)
  if (high === 0) high = 1
  return kind === 'sequential' ? { kind, low: 0, high } : { kind, low: -high, high }
}
