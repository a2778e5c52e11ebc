/** What a request means, as the call of each library, or why that cannot say it. */

import type { EmptyRows } from '../empty-rows.ts'
import type { Call, Cannot } from './call.ts'
import { DIALECTS, type DialectName } from './list.ts'
import type { Meaning } from './meaning.ts'

export type Equivalent = (Call & { empty_rows: EmptyRows }) | Cannot

export function equivalentsOf(meaning: Meaning): Record<DialectName, Equivalent> {
  const found = Object.entries(DIALECTS).map(([name, { call, emptyRows }]) => {
    const said = call(meaning)
    if ('cannot' in said) return [name, said]
    const { setup = [], call: text } = said
    return [name, { ...(setup.length > 0 && { setup }), call: text, empty_rows: emptyRows }]
  })
  return Object.fromEntries(found)
}
