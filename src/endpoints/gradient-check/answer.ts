/** The answer of `POST /v1/gradient-check`, for the documentation. */
import * as z from 'zod'

const number = z.union([z.number(), z.enum(['NaN', 'Infinity', '-Infinity'])])
const verdict = z.enum(['pass', 'fail'])

const compared = {
  analytic: number.describe('what the endpoint answers'),
  numeric: number
    .nullable()
    .describe('what differences of the loss give; null where the input cannot be moved'),
  error: number
    .nullable()
    .describe(
      '|analytic − numeric| relative to the largest gradient of the input; null where there is a kink',
    ),
  kink: z
    .string()
    .optional()
    .describe(
      'why a difference says nothing here (max, relu, −∞); such a check has no part in `worst` and `verdict`',
    ),
}

const InputCheck = z
  .strictObject({
    verdict,
    worst: number.nullable().describe('the largest `error`; null where there is none'),
    kinks: z.int().describe('checks that say nothing'),
    checks: z
      .array(z.strictObject({ index: z.array(z.int()), ...compared }))
      .describe('of the drawn elements'),
    directions: z
      .array(z.strictObject(compared))
      .describe('of slopes along the drawn directions, each of length 1'),
  })
  .meta({ id: 'InputCheck' })

export const GradientCheckAnswer = z
  .strictObject({
    verdict,
    loss: number.describe('that `backward` defines: with grad_output its inner product with the output, …'),
    inputs: z
      .record(z.string(), InputCheck)
      .describe('by the names of `wrt`: `q`, `mask`, `params.w_q`, `params.layers.0.attention.w_q`'),
  })
  .meta({ id: 'GradientCheckAnswer' })
