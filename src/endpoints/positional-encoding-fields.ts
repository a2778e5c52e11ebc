/** The request of `POST /v1/positional-encoding`. */
import * as z from 'zod'
import { type TensorKinds, tensorKinds } from '../formats/tensor-fields.ts'
import { backward, numerics, offset, positive } from '../layers/attention/fields.ts'
import { dimension, heads } from './layer-fields.ts'

const MOST_POSITIONS = 2 ** 24

const length = () => z.int().min(0).max(MOST_POSITIONS).optional().describe('positions; default: those of x')

function positionalEncoding(tensors: TensorKinds) {
  const common = {
    backward: backward(tensors, z.enum(['x']), 'x')
      .optional()
      .describe('with x: the gradient that reaches it'),
    ...numerics,
  }
  const base = positive().default(10000)
  const start = offset().default(0).describe('the first position')
  return z
    .discriminatedUnion('kind', [
      z.strictObject({
        kind: z.literal('sinusoidal'),
        length: length(),
        d_model: dimension().optional().describe('default: the last extent of x'),
        base,
        offset: start,
        x: tensors.values.optional().describe('[…, N, d_model]: `output` = x + encoding'),
        ...common,
      }),
      z.strictObject({
        kind: z.literal('rope'),
        length: length(),
        d_model: dimension().optional().describe('a head’s; default: the last extent of x'),
        dims: z
          .int()
          .min(2)
          .optional()
          .describe('how many leading elements are rotated; even; default d_model'),
        interleaved: z
          .boolean()
          .default(false)
          .describe('pairs (x_2j, x_2j+1) rather than (x_j, x_j+dims/2)'),
        base,
        offset: start,
        x: tensors.values.optional().describe('[…, N, d_model]: `output` = x, every row rotated'),
        ...common,
      }),
      z.strictObject({
        kind: z.literal('alibi'),
        length: length(),
        heads: heads().optional().describe('default: those of x'),
        x: tensors.values.optional().describe('scores […, heads, N, M]: `output` = x + bias'),
        ...common,
      }),
    ])
    .meta({ id: 'PositionalEncodingRequest' })
}

export const PositionalEncodingRequest = positionalEncoding(tensorKinds(false))
export const PositionalEncodingShapes = positionalEncoding(tensorKinds(true))
export type PositionalEncodingRequest = z.output<typeof PositionalEncodingRequest>
