/** The request of `POST /v1/plan`: the body of any endpoint, and which. */
import * as z from 'zod'
import { anyObject } from './any-object.ts'
import { SERVED } from './served.ts'

/** Whose name is the model's. */
export const OF_MODEL = /^\/v1\/models\/([^/]+)\/forward$/

/** Which endpoint a body is for. */
export const endpointField = z.union([
  z.enum(SERVED.map(({ path }) => path) as [string, ...string[]]),
  // `abort`: a name that is neither is told all that there are
  z.string().regex(OF_MODEL, { error: '/v1/models/{name}/forward', abort: true }),
])

export const PlanRequest = z
  .strictObject({
    endpoint: endpointField,
    body: anyObject
      .meta({ type: 'object', propertyNames: { type: 'string' }, additionalProperties: {} })
      .describe('the body of that endpoint; a tensor may be just {"shape": […]}'),
  })
  .meta({ id: 'PlanRequest' })
