import * as z from 'zod'
import { isTree } from '../formats/body.ts'

/** An object whose members are looked at when it is known what they should be. */
export const anyObject = z.unknown().transform((value, context): Record<string, unknown> => {
  if (isTree(value)) return value
  context.issues.push({ code: 'invalid_type', expected: 'record', input: value })
  return z.NEVER
})
