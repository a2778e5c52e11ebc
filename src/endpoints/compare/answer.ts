/** The answer of `POST /v1/compare`, for the documentation. */
import * as z from 'zod'

const number = z.union([z.number(), z.enum(['NaN', 'Infinity', '-Infinity'])])
const verdict = z.enum(['pass', 'fail'])
const index = z.array(z.int())

const Comparison = z
  .strictObject({
    verdict,
    max_abs: number.describe('max |candidate − truth|, NaN and infinities of the candidate left out'),
    max_rel: number.describe('max |candidate − truth| / |truth|, truths of 0 left out'),
    max_ulp: number.describe('max |candidate − truth| in units of candidate_dtype at the truth'),
    rmse: number,
    cosine: z.number().nullable().describe('null where one of the two is all zeros'),
    baseline_max_abs: number.describe('max |baseline − truth|'),
    ratio: z
      .number()
      .nullable()
      .describe('max_abs / baseline_max_abs; null where the baseline is exact or max_abs is infinite'),
    allowed: number.describe(
      'what an element may be off; with a tolerance, the one with the largest |truth|',
    ),
    nan: z.int().describe('NaN in the candidate where the truth has none'),
    inf: z.int().describe('infinities in the candidate where the truth has another number'),
    mismatched: z.int().describe('elements that are further off than allowed'),
    worst: z.array(z.strictObject({ index, got: number, want: number, allowed: number })),
    heads: z
      .array(
        z.strictObject({
          index,
          max_abs: number,
          ratio: z.number().nullable(),
          verdict,
          error_map: z
            .array(z.array(number))
            .optional()
            .describe(
              'with `error_maps`: the head’s rows and columns in at most 32 × 32 blocks, of each the largest |candidate − truth| in ' +
                'multiples of what is allowed; of more than 64 heads the worst have one',
            ),
        }),
      )
      .describe('every head of every batch element; of more than 1024 the worst'),
    first_bad_row: index.nullable().describe('[b, h, i] in the tensor’s own axes'),
  })
  .meta({ id: 'TensorComparison' })

export const CompareAnswer = z
  .strictObject({
    verdict,
    endpoint: z.string().describe('what was compared, as the request says'),
    candidate_dtype: z.string(),
    rule: z
      .union([
        z.strictObject({ kind: z.literal('baseline'), factor: z.number() }),
        z.strictObject({ kind: z.literal('tolerance'), rtol: z.number(), atol: z.number() }),
      ])
      .describe('by which it was judged'),
    tensors: z
      .record(z.string(), Comparison)
      .describe('by the names of the candidate’s tensors: `output`, `grads.q`'),
    conditioning: z
      .strictObject({
        largest_score: number.describe('max |score| that softmax sees'),
        spread: number.describe('the largest distance between two scores of a row'),
        rows: z.int(),
        rows_near_ties: z
          .int()
          .describe('rows whose two largest scores candidate_dtype can hardly tell apart'),
      })
      .optional()
      .describe('of the scores of the baseline, where the endpoint attends'),
    diagnosis: z
      .array(
        z.strictObject({
          says: z.string(),
          change: z
            .record(z.string(), z.unknown())
            .nullable()
            .describe(
              'a JSON merge patch (RFC 7396) of `body` with which the same call passes; null where no request says it',
            ),
          explains: z.number().describe('the share of mismatched elements that it mends'),
        }),
      )
      .optional()
      .describe('where it fails: the usual mistakes that explain the candidate within the rule, best first'),
    not_tried: z
      .array(z.string())
      .optional()
      .describe(
        'the mistakes that there was no time to try, in their own words; absent where all were tried',
      ),
  })
  .meta({ id: 'CompareAnswer' })

export type CompareReport = z.output<typeof CompareAnswer>
export type TensorComparison = z.output<typeof Comparison>
