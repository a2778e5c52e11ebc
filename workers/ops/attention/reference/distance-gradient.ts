import { QUERY_TILE } from '../../../layout.ts'
import { dropoutKeys, keepFactor } from '../../dropout.ts'
import type { DistanceGradientArgs, DistanceGradientTensors } from '../op.ts'
import { queryRow } from './attended.ts'
import { maskedScore, weightOf } from './score.ts'
import { deltaOf, gradMaskedScore } from './score-gradient.ts'

/**
 * The gradient of biases by distance, which maskedScore adds to the capped score:
 *
 *   gradDistances[part, h, x] = Σ ∂L/∂s over the attended pairs (b, h, i, j) with i in the part and j − aligned i − firstDistance = x
 *
 * A unit is one (part, h): rows of whole query tiles, the same of every batch element. It writes its distances whole.
 * Hazard and formula: score-gradient.ts.
 */
export function attentionDistanceGradient(
  t: DistanceGradientTensors,
  a: DistanceGradientArgs,
  from: number,
  to: number,
): void {
  const tiles = Math.ceil(a.queries / QUERY_TILE)
  const rows = QUERY_TILE * Math.ceil(tiles / a.parts)
  for (let unit = from; unit < to; unit++) {
    const [part, h] = [Math.floor(unit / a.heads), unit % a.heads]
    const at = unit * a.distances
    if (!a.further) t.gradDistances.fill(0, at, at + a.distances)
    for (let b = 0; b < a.batch; b++) {
      for (let i = part * rows; i < Math.min((part + 1) * rows, a.queries); i++) addRow(t, a, b, h, i, at)
    }
  }
}

function addRow(
  t: DistanceGradientTensors,
  a: DistanceGradientArgs,
  b: number,
  h: number,
  i: number,
  at: number,
): void {
  const row = queryRow(t, a, b, h, i)
  const delta = deltaOf(t, a, row)
  const keys = dropoutKeys(a, row.index)
  const first = at - row.aligned - a.firstDistance
  for (let j = row.lo; j < row.hi; j++) {
    const s = maskedScore(t, a, row, j)
    if (s === Number.NEGATIVE_INFINITY) continue
    const p = weightOf(t, row, s)
    const z = keepFactor(a, keys, j)
    t.gradDistances[first + j] += gradMaskedScore(t, a, row, j, { s, p, z, delta })
  }
}
