/** The request of `POST /v1/transformer`, and the stack that `GET /v1/stream` runs too. */
import * as z from 'zod'
import { isTree } from '../formats/body.ts'
import type { TensorKinds } from '../formats/tensor-fields.ts'
import { attentionOptions } from './attention/fields.ts'
import { ropeField } from './attention/stages/rope.ts'
import { backwardField } from './loss.ts'
import { dimension, heads, nameList } from './numerics.ts'
import { initField, paramName } from './params.ts'

export const MOST_LAYERS = 256
/** 8 of attention, 4 of its norms and 5 of the feed-forward network in each layer, and the last norm's. */
const MOST_PARAMS = 17 * MOST_LAYERS + 2
/** Those; in each layer what stands above them (layers.i and its parts); layers, final_norm, x, mask, sinks and params. */
const MOST_WRT = MOST_PARAMS + 5 * MOST_LAYERS + 6

export function stack(tensors: TensorKinds) {
  return z
    .strictObject({
      layers: z.int().min(1).max(MOST_LAYERS),
      d_model: dimension().optional().describe('default: the last extent of x'),
      heads: heads(),
      kv_heads: heads().optional().describe('heads of keys and values (GQA); divides heads; default heads'),
      d_ff: dimension()
        .optional()
        .describe('hidden units of the feed-forward network; default 4·d_model, or what params say'),
      norm: z
        .enum(['pre', 'post'])
        .default('post')
        .describe(
          '`post`: x = norm1(x + attention(x)); `pre`: x = x + attention(norm1(x)); the same around the FFN',
        ),
      norm_kind: z.enum(['layer', 'rms']).default('layer').describe('`rms` has gamma only'),
      norm_eps: z.number().min(0).max(1).default(1e-5),
      activation: z
        .enum(['relu', 'gelu', 'gelu_tanh', 'silu', 'swiglu'])
        .default('relu')
        .describe('`swiglu`: w_2(silu(x·w_gate) ⊙ (x·w_1))'),
      position: z
        .enum(['none', 'sinusoidal', 'rope', 'alibi'])
        .default('none')
        .describe(
          '`sinusoidal` is added to x; `rope` turns q and k in every layer; `alibi` is a bias on the scores',
        ),
      rope: ropeField(tensors)
        .omit({ q_offset: true, k_offset: true })
        .optional()
        .describe('with `"position":"rope"`'),
      causal: z.union([z.boolean(), z.enum(['top_left', 'bottom_right'])]).default(false),
      params: paramsByName(tensors)
        .optional()
        .describe(
          'A flat dictionary: layers.i.attention.{w_q,w_k,w_v,w_o,b_q,b_k,b_v,b_o}, layers.i.norm1.{gamma,beta}, ' +
            'layers.i.ffn.{w_1,b_1,w_2,b_2} (swiglu: w_gate too), layers.i.norm2.{gamma,beta}, final_norm.{gamma,beta} (pre-norm). ' +
            'Biases, beta and final_norm may be left out. Weights are [d_in, d_out].',
        ),
      init: initField.optional(),
    })
    .refine(value => value.rope === undefined || value.position === 'rope', {
      error: 'expected "position":"rope" beside rope, got another position',
      path: ['rope'],
    })
    .meta({ id: tensors.shapeAlone ? 'StackShape' : 'Stack' })
}

/** They are counted before any of them is looked at. */
function paramsByName(tensors: TensorKinds) {
  const count = (value: unknown, context: z.RefinementCtx) => {
    const found = isTree(value) ? Object.keys(value).length : 0
    if (found <= MOST_PARAMS) return value
    context.addIssue({ code: 'custom', message: `expected at most ${MOST_PARAMS} parameters, got ${found}` })
    return z.NEVER
  }
  return z.preprocess(count, z.record(z.string(), tensors.values)).meta({ maxProperties: MOST_PARAMS })
}

/** Options of attention that stand beside the stack; causal, rope and alibi are the stack's own, and it takes no relative_bias. */
export function optionsBesideStack(tensors: TensorKinds) {
  const {
    causal: _causal,
    rope: _rope,
    alibi: _alibi,
    relative_bias: _bias,
    dropout,
    ...options
  } = attentionOptions(tensors)
  return {
    ...options,
    dropout: dropout.describe(
      'Dropout on the attention weights and on the hidden units of the feed-forward network. Layer i draws with the seeds ' +
        'seed + 2i and seed + 2i + 1.',
    ),
    checkpoint: z
      .boolean()
      .default(false)
      .describe(
        'keep only the input of each layer and compute it again in the backward pass: less memory, more time, the same bits',
      ),
  }
}

export function stackBackwardField(tensors: TensorKinds) {
  return backwardField(
    tensors,
    nameList(z.union([z.enum(['x', 'mask', 'sinks', 'params']), paramName]), MOST_WRT),
    'x, every parameter, a float mask and sinks',
  )
}

export type StackRequest = z.output<ReturnType<typeof stack>>
