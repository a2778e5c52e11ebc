/** The request of `POST /v1/gradient-check`: the body of any endpoint, with its loss, and how much of its gradients to look at. */
import * as z from 'zod'
import type { TensorKinds } from '../../formats/tensor-fields.ts'
import { anyObject } from '../any-object.ts'
import type { Endpoint } from '../endpoint.ts'
import { ENDPOINTS } from '../index.ts'

const MOST_ENTRIES = 4096
const MOST_DIRECTIONS = 256

const GradientCheckFields = z
  .strictObject({
    endpoint: z.enum(ENDPOINTS.map(({ path }) => path) as [string, ...string[]]),
    body: anyObject
      .meta({ type: 'object', additionalProperties: {} })
      .describe(
        'the body of that endpoint, with `backward`, which defines the loss and, by `wrt`, the inputs. Its `precision` is not looked at: all is float64',
      ),
    entries: z
      .int()
      .min(0)
      .max(MOST_ENTRIES)
      .default(32)
      .describe('elements that are drawn of each input; all of one that has no more'),
    directions: z
      .int()
      .min(0)
      .max(MOST_DIRECTIONS)
      .default(4)
      .describe('directions that are drawn for each input: ±1/√n in each of its n elements'),
    seed: z.int().min(0).max(Number.MAX_SAFE_INTEGER).default(0).describe('the same seed draws the same'),
  })
  .meta({ id: 'GradientCheckRequest' })

export interface GradientCheckRequest {
  endpoint: Endpoint
  /** as the endpoint reads it */
  body: object
  entries: number
  directions: number
  seed: number
  precision: 'float64'
  non_finite: 'reject' | 'propagate'
  encoding: 'nested'
}

export function gradientCheckRequest(tensors: TensorKinds): z.ZodType<GradientCheckRequest> {
  return GradientCheckFields.transform((fields, context): GradientCheckRequest => {
    const { entries, directions, seed } = fields
    const endpoint = ENDPOINTS.find(({ path }) => path === fields.endpoint) as Endpoint
    const refuse = (path: string[], message: string) => {
      context.issues.push({ code: 'custom', message, path, input: undefined })
    }
    if (entries + directions === 0) {
      refuse(['entries'], 'expected entries or directions of at least 1, got 0 of both')
    }
    if (fields.body.backward === undefined || fields.body.backward === null) {
      const what = `expected the \`backward\` of ${endpoint.path}, which defines the loss, got nothing`
      refuse(['body', 'backward'], what)
    }
    const schema = (tensors.shapeAlone ? endpoint.shapes : endpoint.request) as z.ZodType<object>
    const parsed = schema.safeParse(fields.body)
    for (const issue of parsed.error?.issues ?? []) {
      const path = ['body', ...issue.path]
      context.issues.push({ ...issue, input: undefined, path } as z.core.$ZodRawIssue)
    }
    if (context.issues.length > 0) return z.NEVER
    const body = parsed.data as object & Partial<Pick<GradientCheckRequest, 'non_finite'>>
    const { non_finite = 'reject' } = body
    return { endpoint, body, entries, directions, seed, precision: 'float64', non_finite, encoding: 'nested' }
  })
}
