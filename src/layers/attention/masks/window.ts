/** `window`: a row attends to the keys around its own place. Beltagy et al. 2020 (Longformer), section 3.1. */
import * as z from 'zod'
import { distance } from '../../numerics.ts'
import { defineMask } from './mask.ts'

export const windowSchema = z
  .strictObject({
    left: distance().nullish().describe('keys to the left of the aligned position; null = unbounded'),
    right: distance().nullish().describe('keys to the right of the aligned position; null = unbounded'),
  })
  .describe(
    'Attend only to keys j in [i − left, i + right], inclusive, with i aligned as `causal` says (`top_left` without it).',
  )

export const window = defineMask({
  fields: () => ({ window: windowSchema.optional() }),
  rows: ({ window }) => {
    const left = window?.left ?? undefined
    const right = window?.right ?? undefined
    if (left === undefined && right === undefined) return undefined
    return {
      lo: left === undefined ? undefined : ['-', 'aligned', left],
      hi: right === undefined ? undefined : ['+', 'aligned', right + 1],
    }
  },
})
