/** JSON merge patches (RFC 7396) of a body's tree. */
import { isTree } from '../../formats/body.ts'
import type { Patch } from './hypotheses/hypothesis.ts'

/** A tree like this one with the patch applied; `read` gives lists the form that they have in a tree. */
export function patched(
  tree: Record<string, unknown>,
  patch: Patch,
  read: (list: readonly number[]) => unknown,
): Record<string, unknown> {
  const result: Record<string, unknown> = Object.assign(Object.create(null), tree)
  for (const [field, value] of Object.entries(patch)) {
    if (value === null) delete result[field]
    else if (Array.isArray(value)) result[field] = read(value)
    else if (typeof value === 'object') {
      const below = result[field]
      result[field] = patched(isTree(below) ? below : Object.create(null), value as Patch, read)
    } else result[field] = value
  }
  return result
}
