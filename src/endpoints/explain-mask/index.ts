/**
 * `POST /v1/explain-mask`: which pairs does a request attend to, and why not to the others? Rules by position are intervals, so that
 * nothing is of the size of all pairs unless the map is asked for.
 */
import * as z from 'zod'
import { tensorKinds } from '../../formats/tensor-fields.ts'
import { inOurs } from '../../layers/attention/dialects/compile.ts'
import { equivalentsOf } from '../../layers/attention/dialects/equivalents.ts'
import { meaningOf } from '../../layers/attention/dialects/meaning.ts'
import { EMPTY_ROWS } from '../../layers/attention/empty-rows.ts'
import { knownOptions, rulesOf } from '../../layers/attention/mask-rules.ts'
import type { Geometry } from '../../layers/geometry.ts'
import type { RequestProgram } from '../../layers/program-builder.ts'
import { fieldProblem, Problem } from '../../problem.ts'
import { conventionsResult, tensor } from '../answers.ts'
import type { Endpoint } from '../endpoint.ts'
import { reportOf } from './report.ts'
import { type ExplainRequest, explainRequest } from './request.ts'
import { subjectOf } from './subject.ts'

const index = z.array(z.int())
const count = z.int()

const ExplainMaskAnswer = z
  .strictObject({
    density: z.number().describe('attended pairs over all pairs; 0 of none'),
    pairs: count.describe('attended pairs of [B, H, N, M] (packed: [H, T, S])'),
    empty_rows: z.array(index).describe('[b, h, i] of rows that attend to nothing, the first 65536 of them'),
    empty_row_count: count,
    rules: z
      .record(
        z.string(),
        z.strictObject({
          forbids: count.describe('pairs that it forbids, alone or with others'),
          alone: count.describe('pairs that no other rule forbids'),
          with_others: count.describe('pairs that another forbids too'),
        }),
      )
      .describe('by the field of the request that sets it'),
    unknown: z.array(z.string()).optional().describe('fields whose tensors came as shapes alone'),
    row: z
      .array(z.array(z.string()))
      .optional()
      .describe('for each key the rules that removed it; none of an attended one'),
    equivalents: z
      .record(
        z.string(),
        z.union([
          z.strictObject({
            setup: z.array(z.string()).optional().describe('lines before it'),
            call: z.string().describe('in Python, over tensors under their names in the body'),
            empty_rows: z
              .enum(EMPTY_ROWS)
              .describe('what that library makes of a row that attends to nothing'),
          }),
          z.strictObject({ cannot: z.string().describe('why that library cannot say it') }),
        ]),
      )
      .describe('by dialect: the call that means the same'),
    ...conventionsResult,
    map: tensor
      .optional()
      .describe('uint8 [B, H, N, M] in q’s rank: a bit for each rule that forbids the pair'),
    legend: z.record(z.string(), count).optional().describe('the bit of each rule in `map`'),
  })
  .meta({ id: 'ExplainMaskAnswer' })

export const explainMask: Endpoint<ExplainRequest> = {
  path: '/v1/explain-mask',
  name: 'explainMask',
  summary: 'Which pairs a request attends to, and which of its rules forbid the others',
  request: explainRequest(tensorKinds(false)),
  shapes: explainRequest(tensorKinds(true)),
  answer: ExplainMaskAnswer,
  compile,
}

function compile(p: RequestProgram, { body: spoken, row, map }: ExplainRequest): void {
  p.inputsBelow = '/body'
  const below = <T>(read: () => T): T => {
    try {
      return read()
    } catch (error) {
      throw error instanceof Problem ? error.below('/body') : error
    }
  }
  const body = below(() => (spoken.dialect === undefined ? spoken : inOurs(p, spoken)))
  const { geometry, past } = below(() => subjectOf(body))
  const at = row && rowOf(row, geometry)
  const { known, unknown } = below(() => knownOptions(body))
  const rules = below(() => rulesOf(p, known, geometry, past, { map, row: at }))
  const equivalents = equivalentsOf(meaningOf(body, geometry, past.length))
  p.report = read => ({ ...reportOf(rules, unknown, map, read), equivalents })
}

/** Of [batch, heads, queries]. */
function rowOf(index: number[], { batch, heads, queries }: Geometry): number {
  const [b, h, i] = index
  if (b < batch && h < heads && i < queries) return (b * heads + h) * queries + i
  const message = `expected [b, h, i] below [${batch}, ${heads}, ${queries}], got [${index.join(', ')}]`
  throw fieldProblem('INVALID_REQUEST', '/row', message)
}
