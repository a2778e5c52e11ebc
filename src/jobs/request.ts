/** The request of `POST /v1/jobs`: the body of any endpoint, and which. */
import * as z from 'zod'
import { anyObject } from '../endpoints/any-object.ts'
import type { Endpoint } from '../endpoints/endpoint.ts'
import { SERVED } from '../endpoints/served.ts'
import { Problem } from '../problem.ts'

export const LOWEST_PRIORITY = 1_000_000

export const JobRequest = z
  .strictObject({
    endpoint: z.enum(SERVED.map(({ path }) => path) as [string, ...string[]]),
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

export function endpointOf(path: string): Endpoint {
  const endpoint = SERVED.find(each => each.path === path)
  if (endpoint === undefined) throw new Problem('NOT_FOUND', `no endpoint ${path}`)
  return endpoint
}
