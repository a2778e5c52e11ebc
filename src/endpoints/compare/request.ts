/** The request of `POST /v1/compare`: the body of any endpoint, and what somebody else has computed of it. */
import * as z from 'zod'
import { shortened } from '../../../workers/text/json-pointer.ts'
import type { TensorKinds } from '../../formats/tensor-fields.ts'
import { anyObject } from '../any-object.ts'
import type { Endpoint } from '../endpoint.ts'
import { ENDPOINTS } from '../index.ts'
import type { Alteration } from './alteration.ts'
import { type Candidate, readCandidates } from './candidates.ts'

export const DTYPES = ['float32', 'float16', 'bfloat16', 'float8_e4m3'] as const
export type Dtype = (typeof DTYPES)[number]

const MOST_WORST = 100

const Rule = z
  .discriminatedUnion('kind', [
    z.strictObject({
      kind: z.literal('baseline'),
      factor: z.number().min(0).max(1e6).default(2),
    }),
    z.strictObject({
      kind: z.literal('tolerance'),
      rtol: z.number().min(0).max(1e6).default(0),
      atol: z.number().min(0).max(1e30).default(0),
    }),
  ])
  .describe(
    '`baseline`: a tensor passes where max|candidate − truth| ≤ factor · max|baseline − truth| + eps · max|truth|, eps that of candidate_dtype. ' +
      '`tolerance`: where |candidate − truth| ≤ atol + rtol · |truth| for every element. Default: baseline, factor 2.',
  )

export type Rule = z.output<typeof Rule>

const anyTensors = { type: 'object', additionalProperties: {} } as const

/** As it is written; `compareRequest` reads what stands in it. */
export const CompareFields = z
  .strictObject({
    endpoint: z.enum(ENDPOINTS.map(({ path }) => path) as [string, ...string[]]),
    body: anyObject
      .meta(anyTensors)
      .describe(
        'the body of that endpoint. Its `precision` is not looked at; `return` need not name what the candidate holds',
      ),
    candidate: anyObject
      .meta(anyTensors)
      .describe(
        'what was computed elsewhere of that body: tensors under the names that the endpoint’s answer has, `output`, `logsumexp`, …, ' +
          '`grads.q`. NaN and infinities are findings',
      ),
    candidate_dtype: z
      .enum(DTYPES)
      .default('float32')
      .describe('the type that the candidate was computed in: that of the baseline'),
    rule: Rule.optional(),
    diagnose: z
      .boolean()
      .default(true)
      .describe('where it fails: try the usual mistakes, and name those that explain it'),
    top: z.int().min(0).max(MOST_WORST).default(10).describe('elements that `worst` lists'),
    error_maps: z
      .boolean()
      .default(false)
      .describe('gives heads an `error_map`; the page of `Accept: text/html` has them in any case'),
  })
  .meta({ id: 'CompareRequest' })

export interface CompareRequest {
  endpoint: Endpoint
  /** as the endpoint reads it, and as it came */
  body: object
  tree: Record<string, unknown>
  /** another tree in its place */
  parseBody(tree: Record<string, unknown>): z.ZodSafeParseResult<object>
  /** what a hypothesis changes of the program */
  alteration?: Alteration
  candidates: Candidate[]
  dtype: Dtype
  rule: Rule
  /** What each tensor is allowed, where that is known: no baseline is evaluated then. */
  allowed?: ReadonlyMap<string, number>
  diagnose: boolean
  top: number
  errorMaps: boolean
  precision: 'float64'
  non_finite: 'reject' | 'propagate'
  encoding: 'nested'
}

/** The truth is float64, whatever the body says of its own answer. */
const NUMERICS = { precision: 'float64', encoding: 'nested' } as const

export function compareRequest(tensors: TensorKinds): z.ZodType<CompareRequest> {
  return CompareFields.transform((fields, context): CompareRequest => {
    const {
      candidate,
      candidate_dtype: dtype,
      rule = { kind: 'baseline', factor: 2 },
      diagnose,
      top,
      error_maps: errorMaps,
    } = fields
    const endpoint = ENDPOINTS.find(({ path }) => path === fields.endpoint) as Endpoint
    const candidates = readCandidates(candidate, tensors, context.issues)
    if (candidates.length === 0 && context.issues.length === 0) {
      const message = 'expected a tensor at least, got none'
      context.issues.push({ code: 'custom', message, path: ['candidate'], input: candidate })
    }
    const known = knownReturns(endpoint)
    const names = candidates.flatMap(({ name, path }) => (path.length === 2 ? [name] : []))
    for (const name of names.filter(each => known.length > 0 && !known.includes(each))) {
      const message = `expected a tensor that ${endpoint.path} answers (${known.join(', ')}, grads.…), got ${shortened(name)}`
      context.issues.push({ code: 'custom', message, path: ['candidate', name], input: undefined })
    }
    const schema = (tensors.shapeAlone ? endpoint.shapes : endpoint.request) as z.ZodType<object>
    const parseBody = (tree: Record<string, unknown>) =>
      schema.safeParse(known.length > 0 ? withReturn(tree, names) : tree)
    const parsed = parseBody(fields.body)
    for (const issue of parsed.error?.issues ?? []) {
      context.issues.push({
        ...issue,
        input: undefined,
        path: ['body', ...issue.path],
      } as z.core.$ZodRawIssue)
    }
    if (context.issues.length > 0) return z.NEVER
    const body = parsed.data as object & Partial<Pick<CompareRequest, 'non_finite'>>
    const { non_finite = 'reject' } = body
    const own = {
      endpoint,
      body,
      tree: fields.body,
      parseBody,
      candidates,
      dtype,
      rule,
      diagnose,
      top,
      errorMaps,
      non_finite,
    }
    return { ...own, ...NUMERICS }
  })
}

/** The body with what the candidate holds among what it asks for. */
function withReturn(body: Record<string, unknown>, names: string[]): Record<string, unknown> {
  const list = body.return ?? []
  return Array.isArray(list) ? { ...body, return: [...new Set([...list, ...names])] } : body
}

function knownReturns({ request }: Endpoint): string[] {
  if (!('shape' in request)) return []
  const field = (request.shape as Record<string, z.ZodType>).return
  if (field === undefined) return []
  const { $schema: _, ...schema } = z.toJSONSchema(field, { io: 'input' })
  const { items } = schema as { items?: { enum?: string[] } }
  return items?.enum ?? []
}
