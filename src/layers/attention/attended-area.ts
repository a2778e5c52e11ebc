/** How many (query, key) pairs causal, window and lengths leave to one head, for costs; dense masks are not looked at. */
import type { AttentionArgs } from '../../../workers/task.ts'

/** Rows looked at per batch element: between them the number of keys changes linearly, or nearly so. */
const SAMPLES = 512

type Rules = Pick<
  AttentionArgs,
  'batch' | 'queries' | 'keys' | 'alignment' | 'pastKeys' | 'causal' | 'windowLeft' | 'windowRight'
>

export function attendedArea(
  a: Rules,
  qLengths: ArrayLike<number> | undefined,
  kvLengths: ArrayLike<number> | undefined,
) {
  if (a.queries === 0 || a.keys === 0) return 0
  if (qLengths === undefined && kvLengths === undefined) return a.batch * areaOf(a, a.queries, a.keys)
  let area = 0
  for (let b = 0; b < a.batch; b++) area += areaOf(a, qLengths?.[b] ?? a.queries, kvLengths?.[b] ?? a.keys)
  return area
}

function areaOf(a: Rules, queries: number, keys: number): number {
  const restricted = a.causal || a.windowLeft >= 0 || a.windowRight >= 0
  if (!restricted) return queries * keys
  const shift = a.alignment === 'bottom_right' ? keys - queries : a.pastKeys
  const step = Math.max(1, queries / SAMPLES)
  let area = 0
  for (let row = 0; row < queries; row += step) {
    const aligned = row + Math.min(step, queries - row) / 2 + shift
    const right = Math.min(
      a.causal ? 0 : Number.POSITIVE_INFINITY,
      a.windowRight >= 0 ? a.windowRight : Number.POSITIVE_INFINITY,
    )
    const high = Math.min(keys, aligned + right + 0.5)
    const low = a.windowLeft >= 0 ? Math.max(0, aligned - a.windowLeft - 0.5) : 0
    area += Math.max(0, high - low) * Math.min(step, queries - row)
  }
  return area
}
