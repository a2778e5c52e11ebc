/** The request of `POST /v1/explain-mask`: the body of an endpoint that attends, and which of its pairs are asked about. */
import * as z from 'zod'
import { NumbersSpan, name } from '../../formats/tensor.ts'
import type { TensorKinds } from '../../formats/tensor-fields.ts'
import { numerics } from '../../layers/numerics.ts'
import { anyObject } from '../any-object.ts'
import { attention } from '../attention.ts'
import type { Endpoint } from '../endpoint.ts'
import { multiHeadAttention } from '../multi-head-attention.ts'
import { selfAttention } from '../self-attention.ts'
import type { AttendingBody } from './subject.ts'

/** Whose bodies are explained: those of one layer. */
const EXPLAINED: Endpoint[] = [attention, selfAttention, multiHeadAttention]
const MOST_INDICES = 3

/** A list of numbers is only located when a body is read. */
const rowIndex = z
  .unknown()
  .meta({ type: 'array', items: { type: 'integer', minimum: 0 }, minItems: 3, maxItems: 3 })
  .transform((value, context): number[] => {
    const list = value instanceof NumbersSpan ? value.toArray(MOST_INDICES) : value
    const isIndex = (item: unknown) => Number.isSafeInteger(item) && (item as number) >= 0
    if (Array.isArray(list) && list.length === MOST_INDICES && list.every(isIndex)) return list
    const message = `expected [b, h, i], three non-negative integers, got ${name(value)}`
    context.issues.push({ code: 'custom', message, input: undefined })
    return z.NEVER
  })

const ExplainFields = z
  .strictObject({
    endpoint: z
      .enum(EXPLAINED.map(({ path }) => path) as [string, ...string[]])
      .default(attention.path)
      .describe('whose body it is'),
    body: anyObject
      .meta({ type: 'object', additionalProperties: {} })
      .describe(
        'the body of that endpoint. A tensor may be just {"shape": […]}: of q, k and v no more is looked at. Of lengths, segments and a ' +
          'mask that are only shapes nothing is known; they are named in `unknown` and count as forbidding nothing',
      ),
    row: rowIndex
      .optional()
      .describe('[b, h, i]: a query row of which every key is told which rules removed it'),
    map: z.boolean().default(false).describe('answer the rules of every pair, as bits'),
    encoding: numerics.encoding,
  })
  .meta({ id: 'ExplainMaskRequest' })

export interface ExplainRequest {
  endpoint: Endpoint
  body: AttendingBody
  row: number[] | undefined
  map: boolean
  precision: 'float64'
  non_finite: 'reject'
  encoding: 'nested' | 'flat' | 'base64'
}

export function explainRequest(_tensors: TensorKinds): z.ZodType<ExplainRequest> {
  return ExplainFields.transform(({ endpoint: path, body: tree, ...rest }, context): ExplainRequest => {
    const endpoint = EXPLAINED.find(each => each.path === path) as Endpoint
    const parsed = (endpoint.shapes as z.ZodType<AttendingBody>).safeParse(tree)
    if (parsed.success) {
      const fixed = { precision: 'float64', non_finite: 'reject' } as const
      return { endpoint, body: parsed.data, ...rest, row: rest.row, ...fixed }
    }
    for (const issue of parsed.error.issues) {
      const path = ['body', ...issue.path]
      context.issues.push({ ...issue, input: undefined, path } as z.core.$ZodRawIssue)
    }
    return z.NEVER
  })
}
