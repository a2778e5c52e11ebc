/** `window`: a row attends to the keys around its own place. Beltagy et al. 2020 (Longformer), section 3.1. */
import * as z from 'zod'
import type { RowExpr } from '../../../../workers/ops/intervals/op.ts'
import { distance } from '../../numerics.ts'
import { defineMask } from './mask.ts'

export const windowSchema = z
  .strictObject({
    left: distance().nullish().describe('keys to the left of the aligned position; null = unbounded'),
    right: distance().nullish().describe('keys to the right of the aligned position; null = unbounded'),
    align: z
      .enum(['top_left', 'bottom_right'])
      .optional()
      .describe('where row i stands among the keys; default as `causal` says, `top_left` without it'),
  })
  .describe(
    'Attend only to keys j in [i − left, i + right], inclusive, with i aligned as `align` or else `causal` says: at P + i with a past of P ' +
      '(`top_left`), or at i + m − n, with m, n that batch’s kv_lengths, q_lengths where given, else P + M, N (`bottom_right`).',
  )

export const window = defineMask({
  fields: () => ({ window: windowSchema.optional() }),
  rows: ({ window }, past) => {
    const left = window?.left ?? undefined
    const right = window?.right ?? undefined
    if (left === undefined && right === undefined) return undefined
    const place = placeOf(window?.align, past)
    return {
      lo: left === undefined ? undefined : ['-', place, left],
      hi: right === undefined ? undefined : ['+', place, right + 1],
    }
  },
})

function placeOf(align: 'top_left' | 'bottom_right' | undefined, past: number): RowExpr {
  if (align === 'top_left') return ['+', 'i', past]
  return align === 'bottom_right' ? ['+', 'i', ['-', 'keys', 'queries']] : 'aligned'
}
