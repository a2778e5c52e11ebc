/** The request of `POST /v1/plan`: the body of any endpoint, and which. */
import * as z from 'zod'
import { ENDPOINTS } from './index.ts'

export const PlanRequest = z
  .strictObject({
    endpoint: z.enum(ENDPOINTS.map(({ path }) => path) as [string, ...string[]]),
    body: z
      .record(z.string(), z.unknown())
      .describe('the body of that endpoint; a tensor may be just {"shape": […]}'),
  })
  .meta({ id: 'PlanRequest' })
