/** `dialect`: whose conventions a request is written in. */
import * as z from 'zod'
import { DIALECT_NAMES } from './list.ts'

export const dialectField = z
  .enum(DIALECT_NAMES)
  .optional()
  .describe(
    'Read the ambiguous fields as that library does: the order of axes, the corner that `"causal":true` means, what `true` is in a mask, ' +
      '`window` as it writes one, `empty_rows`, and the shape of `weights`. What a request says itself goes first (`layout`, ' +
      '`"causal":"top_left"`, `window.align`, `empty_rows`). The answer’s `conventions` spell what was read; docs/DIALECTS.md has the table.',
  )
