/** The requests of `POST /v1/self-attention` and `POST /v1/multi-head-attention`. */
import * as z from 'zod'
import { type TensorKinds, tensorKinds } from '../formats/tensor-fields.ts'
import {
  ATTENTION_RETURNS,
  attentionOptions,
  backward,
  numerics,
  PRESENT_RETURNS,
  pastFields,
  returns,
} from '../layers/attention/fields.ts'

const MOST_HEADS = 65536
const MOST_DIM = 2 ** 24

export const heads = () => z.int().min(1).max(MOST_HEADS)
export const dimension = () => z.int().min(1).max(MOST_DIM)

export const init = z
  .strictObject({
    scheme: z
      .enum(['xavier_uniform', 'xavier_normal', 'he_uniform', 'he_normal'])
      .default('xavier_uniform')
      .describe('Glorot & Bengio 2010, or He et al. 2015; fans are those of the whole matrix'),
    seed: z.int().min(0).max(Number.MAX_SAFE_INTEGER).default(0),
    bias: z.boolean().default(false).describe('whether there are biases (of 0)'),
  })
  .describe(
    'Draw the parameters instead: the same seed gives the same parameters on every machine. Biases and beta are 0, gamma is 1. ' +
      '`"return":["params"]` hands them back.',
  )

const x = (tensors: TensorKinds) =>
  tensors.values.describe('[B, N, d_model], or [N, d_model] without a batch')

function params(tensors: TensorKinds, shapes: Record<string, string>, optional: Record<string, string>) {
  const member = (shape: string) => tensors.values.describe(shape)
  return z
    .strictObject({
      ...Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [name, member(shape)])),
      ...Object.fromEntries(
        Object.entries(optional).map(([name, shape]) => [name, member(shape).optional()]),
      ),
    })
    .optional()
    .describe('the parameters, or `init` instead')
}

const LAYER_RETURNS = ['output', ...ATTENTION_RETURNS, ...PRESENT_RETURNS, 'params'] as const

/** In `wrt`, beside the names of inputs. */
export const paramName = z.string().regex(/^params\../, 'the name of an input or "params.<name>"')

const wrt = (...inputs: string[]) =>
  z.union([z.enum([...inputs, 'mask', 'past_k', 'past_v', 'params']), paramName])

function selfAttention(tensors: TensorKinds) {
  return z
    .strictObject({
      x: x(tensors),
      params: params(
        tensors,
        { w_q: '[d_model, d_k]', w_k: '[d_model, d_k]', w_v: '[d_model, d_v]' },
        { b_q: '[d_k]', b_k: '[d_k]', b_v: '[d_v]' },
      ),
      init: init.optional(),
      d_k: dimension().optional().describe('beside init; default d_model'),
      d_v: dimension().optional().describe('beside init; default d_k'),
      ...pastFields(tensors),
      ...attentionOptions(tensors),
      return: returns(LAYER_RETURNS),
      backward: backward(tensors, wrt('x'), 'x, every parameter and a float mask').optional(),
      ...numerics,
    })
    .meta({ id: 'SelfAttentionRequest' })
}

function multiHeadAttention(tensors: TensorKinds) {
  return z
    .strictObject({
      x: x(tensors),
      context: tensors.values
        .optional()
        .describe('[B, M, d_context]: where keys and values come from (cross-attention); default x'),
      heads: heads(),
      kv_heads: heads().optional().describe('heads of keys and values (GQA); divides heads; default heads'),
      params: params(
        tensors,
        {
          w_q: '[d_model, heads·d_k]',
          w_k: '[d_context, kv_heads·d_k]',
          w_v: '[d_context, kv_heads·d_v]',
          w_o: '[heads·d_v, d_out]',
        },
        { b_q: '[heads·d_k]', b_k: '[kv_heads·d_k]', b_v: '[kv_heads·d_v]', b_o: '[d_out]' },
      ),
      init: init.optional(),
      d_k: dimension().optional().describe('a head’s, beside init; default d_model/heads'),
      d_v: dimension().optional().describe('a head’s, beside init; default d_k'),
      d_out: dimension().optional().describe('beside init; default d_model'),
      ...pastFields(tensors),
      ...attentionOptions(tensors),
      return: returns(LAYER_RETURNS),
      backward: backward(
        tensors,
        wrt('x', 'context'),
        'x, context, every parameter and a float mask',
      ).optional(),
      ...numerics,
    })
    .meta({ id: 'MultiHeadAttentionRequest' })
}

export const SelfAttentionRequest = selfAttention(tensorKinds(false))
export const SelfAttentionShapes = selfAttention(tensorKinds(true))
export type SelfAttentionRequest = z.output<typeof SelfAttentionRequest>

export const MultiHeadAttentionRequest = multiHeadAttention(tensorKinds(false))
export const MultiHeadAttentionShapes = multiHeadAttention(tensorKinds(true))
export type MultiHeadAttentionRequest = z.output<typeof MultiHeadAttentionRequest>
