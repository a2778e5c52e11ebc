import { QUERY_TILE } from '../../../layout.ts'
import { dropoutKeys, keepFactor } from '../../dropout.ts'
import type { MaskGradientArgs, MaskGradientTensors } from '../op.ts'
import { queryRow } from './attended.ts'
import { maskedScore, weightOf } from './score.ts'
import { deltaOf, gradMaskedScore } from './score-gradient.ts'

/**
 * The gradient of a float mask, which maskedScore adds to the capped score:
 *
 *   gradMask[e] = Σ ∂L/∂s over the attended pairs (b, h, i, j) that read element e
 *
 * gradMask has the mask's own shape, 1 along the axes it is broadcast over, and those are summed. Where the mask is −∞
 * no pair is attended: 0. A unit is QUERY_TILE rows of the mask; it writes them whole, summing in the order b, h, i, j.
 * Hazard and formula: score-gradient.ts.
 */
export function attentionMaskGradient(
  t: MaskGradientTensors,
  a: MaskGradientArgs,
  from: number,
  to: number,
): void {
  const [, maskHeads, maskRows, maskKeys] = a.maskShape
  const tiles = Math.ceil(maskRows / QUERY_TILE)
  for (let unit = from; unit < to; unit++) {
    const batchHead = Math.floor(unit / tiles)
    const first = (unit % tiles) * QUERY_TILE
    for (let maskRow = first; maskRow < Math.min(first + QUERY_TILE, maskRows); maskRow++) {
      const at = (batchHead * maskRows + maskRow) * maskKeys
      t.gradMask.fill(0, at, at + maskKeys)
      const [beginBatch, endBatch] = served(a.maskShape[0], a.batch, Math.floor(batchHead / maskHeads))
      const [beginHead, endHead] = served(maskHeads, a.heads, batchHead % maskHeads)
      const [beginRow, endRow] = served(maskRows, a.queries, maskRow)
      for (let b = beginBatch; b < endBatch; b++) {
        for (let h = beginHead; h < endHead; h++) {
          for (let i = beginRow; i < endRow; i++) addRowGradient(t, a, b, h, i, at)
        }
      }
    }
  }
}

/** The indices along an axis that one index of the mask serves: all of them where it is broadcast. */
function served(maskExtent: number, extent: number, index: number): [begin: number, end: number] {
  return maskExtent === 1 ? [0, extent] : [index, index + 1]
}

/** Adds the gradient of one query row's scores to the mask row that starts at `at`. */
function addRowGradient(
  t: MaskGradientTensors,
  a: MaskGradientArgs,
  b: number,
  h: number,
  i: number,
  at: number,
): void {
  const row = queryRow(t, a, b, h, i)
  const delta = deltaOf(t, a, row)
  const keys = dropoutKeys(a, row.index)
  for (let j = row.lo; j < row.hi; j++) {
    const s = maskedScore(t, a, row, j)
    if (s === Number.NEGATIVE_INFINITY) continue
    const p = weightOf(t, row, s)
    const z = keepFactor(a, keys, j)
    t.gradMask[a.maskShape[3] === 1 ? at : at + j] += gradMaskedScore(t, a, row, j, { s, p, z, delta })
  }
}
