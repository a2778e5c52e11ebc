/** The request of `POST /v1/models/{name}/forward`. */
import * as z from 'zod'
import type { TensorKinds } from '../../formats/tensor-fields.ts'
import { textField } from '../../formats/text-field.ts'
import { nameList, numerics, returns } from '../../layers/numerics.ts'
import { indices, layerList, MOST_GENERATED } from '../stream-messages.ts'

/** Maps and rows of a layer's attention. */
export const LAYER_RETURNS = [
  'weights',
  'scores',
  'masked_scores',
  'softcapped_scores',
  'logsumexp',
  'entropy',
  'max_score',
] as const
/** Of cross-attention, in a decoder that has an encoder. */
export const CROSS_RETURNS = LAYER_RETURNS.map(name => `cross_${name}` as const)
const RETURNS = [
  'output',
  ...LAYER_RETURNS,
  ...CROSS_RETURNS,
  'tokens',
  'hidden',
  'embedding',
  'logits',
  'next_tokens',
  'relevance',
  'head_metrics',
  'top_keys',
  'present',
] as const

const MOST_WRT = 4096
const EMITS = ['grad_output', 'grad_weights', 'grad_cross_weights'] as const
/** Names of `return` that are answered layer by layer. */
const OF_LAYERS: readonly string[] = [
  ...LAYER_RETURNS,
  ...CROSS_RETURNS,
  'head_metrics',
  'top_keys',
  'present',
]

/** What is asked of each layer. */
export function layerNames({
  return: names,
  top_keys,
}: Pick<ForwardRequest, 'return' | 'top_keys'>): string[] {
  const own = names.filter(name => OF_LAYERS.includes(name))
  return top_keys === undefined || names.includes('top_keys') ? own : [...own, 'top_keys']
}

const token = z
  .union([z.string(), z.int().min(0)])
  .describe('a token of the vocabulary, as `tokens.strings` has it, or its id')

function objective(tensors: TensorKinds) {
  const position = z.int().default(-1).describe('whose logits; −1 is the last that is no padding')
  return z
    .discriminatedUnion('kind', [
      z.strictObject({ kind: z.literal('logit'), position, token }),
      z.strictObject({ kind: z.literal('log_probability'), position, token }),
      z.strictObject({
        kind: z.literal('embedding'),
        target: tensors.values.describe('[d_model] or [B, d_model]: the scalar is embedding · target'),
      }),
      z.strictObject({
        kind: z.literal('output'),
        grad_output: tensors.values.describe('[B, N, d_model]: ∂L/∂output'),
      }),
    ])
    .describe('what is differentiated: summed over the batch')
}

export type Objective = z.output<ReturnType<typeof objective>>

const METHODS = ['rollout', 'gradient_x_attention', 'input_x_gradient', 'integrated_gradients'] as const

function relevance(tensors: TensorKinds) {
  return z
    .strictObject({
      method: z
        .enum(METHODS)
        .default('rollout')
        .describe(
          '`rollout`: ∏ (½·mean over heads + ½·I), the row of `of`’s position (Abnar & Zuidema 2020). `gradient_x_attention`: Σ over layers and ' +
            'heads of max(0, W ⊙ ∂/∂W), that row (Chefer et al. 2021). `input_x_gradient`: Σ_d embedding · gradient. `integrated_gradients`: ' +
            'the same along the path from zero embeddings (Sundararajan et al. 2017); it sums to the difference of the scalar',
        ),
      of: objective(tensors)
        .optional()
        .describe('what the relevance is for; rollout takes its position alone'),
      steps: z.int().min(1).max(512).default(32).describe('of integrated_gradients'),
    })
    .describe('asks for relevance too: [B, N], a number a token')
}

/** The fields that a request has, by whichever way it comes. */
export function forwardFields(tensors: TensorKinds) {
  return {
    text: textField().optional().describe('a text, or a list of texts; shorter ones are padded on the right'),
    text_pair: textField().optional().describe('the second text of each pair'),
    token_ids: tensors.whole.optional().describe('[B, N], or [N]: instead of text'),
    attention_mask: tensors.whole.optional().describe('[B, N] beside token_ids: 0 where there is padding'),
    token_type_ids: tensors.whole
      .optional()
      .describe('[B, N] beside token_ids, of models that have types; default 0'),
    add_special_tokens: z.boolean().default(true),
    truncate: z.boolean().default(false).describe('cut texts to max_length, rather than refuse them'),
    layers: layerList
      .optional()
      .describe('the layers that `layers` holds, in this order; default all, and [] none'),
    heads: indices.optional().describe('the heads that maps and rows hold, in this order; default all'),
    return: returns(RETURNS).describe(
      'what to answer. `tokens` comes always. `hidden`: the embeddings and every layer’s output, the last one behind the final norm. ' +
        '`embedding`: a vector of the text, see `pooling`. `next_tokens`: the most probable ones behind the last position that is no padding',
    ),
    pooling: z
      .enum(['mean', 'cls', 'last'])
      .default('mean')
      .describe('of `embedding`, which has length 1: over what is no padding'),
    next_tokens: z
      .strictObject({ top: z.int().min(1).max(1000).default(10) })
      .optional()
      .describe('asks for next_tokens too'),
    top_keys: z
      .strictObject({ k: z.int().min(1).max(1024).default(8) })
      .optional()
      .describe('asks for top_keys too: the strongest keys of each row, in `layers`'),
    relevance: relevance(tensors).optional(),
    generate: z
      .strictObject({
        max_new_tokens: z
          .int()
          .min(1)
          .max(MOST_GENERATED)
          .default(20)
          .describe('a text that ends before takes less than a plan says, which counts all of them'),
        temperature: z.number().min(0).max(1e6).default(0).describe('0: the most probable token each time'),
        top_k: z
          .int()
          .min(1)
          .max(1e6)
          .optional()
          .describe('drawn from these many most probable ones; default all'),
        seed: z
          .int()
          .min(0)
          .max(Number.MAX_SAFE_INTEGER)
          .default(0)
          .describe('the same seed draws the same tokens'),
      })
      .optional()
      .describe('asks a decoder for tokens that follow each text, up to the end token of the model'),
    backward: z
      .strictObject({
        of: objective(tensors),
        wrt: nameList(
          z.string().regex(/^(embeddings|params(\..+)?)$/, '"embeddings", "params" or "params.<name>"'),
          MOST_WRT,
        )
          .optional()
          .describe(
            'embeddings [B, N, d_model] of the tokens; parameters by the checkpoint’s names. Default: embeddings; over the stream params too, where `emit` names grad_params',
          ),
      })
      .optional(),
    emit: nameList(z.enum(EMITS), EMITS.length)
      .optional()
      .describe('with backward: gradients of each layer’s output or weights, in `layers`'),
    ...numericsOf(),
  }
}

export function forwardRequest(tensors: TensorKinds) {
  return z
    .strictObject(forwardFields(tensors))
    .meta({ id: tensors.shapeAlone ? 'ModelForwardShape' : 'ModelForwardRequest' })
}

/** Weights are finite, and tokens are whole numbers. */
function numericsOf() {
  const { non_finite: _, ...others } = numerics
  return others
}

export type ForwardRequest = z.output<ReturnType<typeof forwardRequest>>
/** What says what is computed, by whichever way the request came. */
export type ModelRequest = Omit<ForwardRequest, 'emit' | 'encoding'>
