/** The request of `POST /v1/jobs`: the body of any endpoint, and which. */
import * as z from 'zod'
import { anyObject } from '../endpoints/any-object.ts'
import { endpointField } from '../endpoints/plan.ts'

export const LOWEST_PRIORITY = 1_000_000

export const JobRequest = z
  .strictObject({
    endpoint: endpointField,
    body: anyObject
      .meta({ type: 'object', propertyNames: { type: 'string' }, additionalProperties: {} })
      .describe('the body of that endpoint'),
    priority: z
      .int()
      .min(0)
      .max(LOWEST_PRIORITY)
      .default(0)
      .describe('jobs of a smaller number go first, those of one number in the order in which they came'),
  })
  .meta({ id: 'JobRequest' })
