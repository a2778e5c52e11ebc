/** The request of `POST /v1/plan`: the body of any endpoint, and which. */
import * as z from 'zod'
import { isTree } from '../formats/body.ts'
import { ENDPOINTS } from './index.ts'

/** Its members are looked at when the endpoint is known. */
const anyObject = z.unknown().transform((value, context): Record<string, unknown> => {
  if (isTree(value)) return value
  context.issues.push({ code: 'invalid_type', expected: 'record', input: value })
  return z.NEVER
})

export const PlanRequest = z
  .strictObject({
    endpoint: z.enum(ENDPOINTS.map(({ path }) => path) as [string, ...string[]]),
    body: anyObject
      .meta({ type: 'object', propertyNames: { type: 'string' }, additionalProperties: {} })
      .describe('the body of that endpoint; a tensor may be just {"shape": […]}'),
  })
  .meta({ id: 'PlanRequest' })
