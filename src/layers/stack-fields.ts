/** The request of `POST /v1/transformer`, and the stack that `GET /v1/stream` runs too. */
import * as z from 'zod'
import { isTree } from '../formats/body.ts'
import type { TensorKinds } from '../formats/tensor-fields.ts'
import { attentionOptions, scale, softcap } from './attention/fields.ts'
import { windowSchema } from './attention/masks/window.ts'
import { stackBiasField } from './attention/relative-bias.ts'
import { ropeField } from './attention/stages/rope.ts'
import { OWN_NAMES } from './attention/variants/index.ts'
import { backwardField } from './loss.ts'
import { dimension, heads, nameList } from './numerics.ts'
import { initField, paramName } from './params.ts'

export const MOST_LAYERS = 256
/** 11 of each attention, 5 of the feed-forward network and 2 of each of 6 norms in each layer, the last norm's, and a table of biases. */
const MOST_PARAMS = 39 * MOST_LAYERS + 3
/** Those; in each layer what stands above them (layers.i and its parts); layers, final_norm, relative_bias; of an encoder too; the past and the state; the inputs. */
const MOST_WRT = 2 * (MOST_PARAMS + 14 * MOST_LAYERS + 3) + 5 * MOST_LAYERS + 16

export function stack(tensors: TensorKinds) {
  return z
    .strictObject({
      layers: z.int().min(1).max(MOST_LAYERS),
      d_model: dimension().optional().describe('default: the last extent of x'),
      heads: heads(),
      head_dim: dimension()
        .optional()
        .describe('elements of a head’s q, k and v; default d_model/heads, or what params say'),
      kv_heads: heads().optional().describe('heads of keys and values (GQA); divides heads; default heads'),
      d_ff: dimension()
        .optional()
        .describe('hidden units of the feed-forward network; default 4·d_model, or what params say'),
      norm: z
        .enum(['pre', 'post', 'sandwich'])
        .default('post')
        .describe(
          '`post`: x = norm1(x + attention(x)); `pre`: x = x + attention(norm1(x)); the same around the FFN with norm2. ' +
            '`sandwich`: x = x + norm2(attention(norm1(x))); x = x + norm4(ffn(norm3(x)))',
        ),
      norm_kind: z.enum(['layer', 'rms']).default('layer').describe('`rms` has gamma only'),
      norm_eps: z.number().min(0).max(1).default(1e-5),
      activation: z
        .enum(['relu', 'gelu', 'gelu_tanh', 'silu', 'quick_gelu', 'swiglu', 'geglu', 'geglu_tanh'])
        .default('relu')
        .describe(
          '`swiglu`: w_2(silu(x·w_gate) ⊙ (x·w_1)); `geglu` and `geglu_tanh`: gelu or gelu_tanh in place of silu. `quick_gelu`: x·σ(1.702·x)',
        ),
      position: z
        .enum(['none', 'sinusoidal', 'rope', 'alibi'])
        .optional()
        .describe(
          '`sinusoidal` is added to x; `rope` turns q and k in every layer; `alibi` is a bias on the scores; default `rope` where ' +
            'there is a rope, else `none`',
        ),
      rope: byLayer(ropeField(tensors).omit({ q_offset: true, k_offset: true }))
        .optional()
        .describe(
          'turns q and k in every layer, or in those where the list has one; `"position":"rope"` alone takes its defaults',
        ),
      window: byLayer(windowSchema)
        .optional()
        .describe('keys that a row attends to, in every layer or by layer; see `window` beside the stack'),
      scale: scale.optional(),
      softcap: softcap.optional(),
      relative_bias: stackBiasField.optional(),
      causal: z
        .union([z.boolean(), z.enum(['top_left', 'bottom_right'])])
        .optional()
        .meta({ default: false }),
      params: byName(tensors, MOST_PARAMS, 'parameters')
        .optional()
        .describe(
          'A flat dictionary: layers.i.attention.{w_q,w_k,w_v,w_o,b_q,b_k,b_v,b_o}, layers.i.attention.{q_norm,k_norm}.gamma (of an RMS norm of queries and keys, before rope), layers.i.attention.sinks [heads] (see `sinks` of attention), layers.i.norm1.{gamma,beta}, ' +
            'layers.i.ffn.{w_1,b_1,w_2,b_2} (swiglu, geglu, geglu_tanh: w_gate too), layers.i.norm2.{gamma,beta} (sandwich: norm3 and norm4 too), with a context layers.i.cross_attention as attention, final_norm.{gamma,beta}, relative_bias.table. ' +
            'Biases, beta, q_norm and k_norm together, sinks and final_norm may be left out. Weights are [d_in, d_out].',
        ),
      init: initField.optional(),
    })
    .refine(value => value.rope === undefined || (value.position ?? 'rope') === 'rope', {
      error: 'expected "position":"rope" beside rope, or no position; got another position',
      path: ['rope'],
    })
    .meta({ id: tensors.shapeAlone ? 'StackShape' : 'Stack' })
}

/** One for all layers, or a list with one for each, null where a layer has none. */
function byLayer<T extends z.ZodType>(one: T) {
  return z.union([one, z.array(one.nullable()).max(MOST_LAYERS)])
}

/** They are counted before any of them is looked at. */
function byName(tensors: TensorKinds, most: number, what: string) {
  const count = (value: unknown, context: z.RefinementCtx) => {
    const found = isTree(value) ? Object.keys(value).length : 0
    if (found <= most) return value
    context.addIssue({ code: 'custom', message: `expected at most ${most} ${what}, got ${found}` })
    return z.NEVER
  }
  return z.preprocess(count, tensors.named).meta({ maxProperties: most })
}

/**
 * Options of attention that stand beside the stack, and what it may attend to; causal, rope and alibi are the stack's own, and
 * sinks are parameters.
 * `stack`: the schema of an encoder's.
 */
export function optionsBesideStack(tensors: TensorKinds, stack: StackSchema) {
  const {
    causal: _causal,
    rope: _rope,
    alibi: _alibi,
    sinks: _sinks,
    dropout,
    ...options
  } = attentionOptions(tensors)
  return {
    ...options,
    context: tensors.values
      .optional()
      .describe(
        '[B, M, d_context], or [M, d_context] without a batch: every layer also attends to it (a decoder, as PyTorch’s ' +
          'TransformerDecoderLayer). Its parameters are layers.i.cross_attention.{w_q,…}, its norm is norm2, and that of the ' +
          'feed-forward network norm3 (sandwich: norm3 and norm4, then norm5 and norm6). scale, softcap, qk_norm and dropout ' +
          'hold there too; rope, causal, window, alibi, the mask and attention_kind do not.',
      ),
    encoder: z
      .strictObject({
        stack,
        x: tensors.values.describe('[B, M, d], or [M, d] without a batch'),
        q_lengths: tensors.whole
          .optional()
          .describe(
            '[B]: positions from there on are padding, in the encoder and in the context that it makes',
          ),
      })
      .optional()
      .describe(
        'A stack whose output is the context of the other (as PyTorch’s Transformer); in place of `context`. dropout, qk_norm and ' +
          'checkpoint hold for both, and its layers draw with the seeds behind the decoder’s (seed + 3·layers + 2i and ' +
          'seed + 3·layers + 2i + 1); everything else beside `stack` is the decoder’s. `entropy_weight` means the rows of both.',
      ),
    state: byName(tensors, 3 * MOST_LAYERS + 1, 'tensors')
      .optional()
      .describe(
        'What the keys and values of the positions before x have left in every layer, as `"return":["state"]` gives it: layers.i.s ' +
          '[B, H_kv, head_dim, head_dim], and position [1], how many there were; for `gated`, `delta`, `gated_delta` and causal ' +
          '`linear` (of `elu1` layers.i.sums, layers.i.k and layers.i.v, as in `state` of attention). Positions go on from there, and the bits are those of one request. In safetensors state.layers.0.s.',
      ),
    past: byName(tensors, 2 * MOST_LAYERS, 'tensors')
      .optional()
      .describe(
        'Keys and values of the positions before x, of every layer: layers.i.k and layers.i.v [B, H_kv, P, head_dim], as ' +
          '`"return":["present"]` gives them. For causal stacks; positions go on from P, and masks and kv_lengths count all ' +
          'P + N keys. In safetensors past.layers.0.k.',
      ),
    context_lengths: tensors.whole
      .optional()
      .describe('[B]: positions of the context from there on are padding'),
    dropout: dropout.describe(
      'Dropout on the attention weights and on the hidden units of the feed-forward network. Layer i draws with the seeds ' +
        'seed + 2i and seed + 2i + 1; with a context seed + 3i, seed + 3i + 1 (cross-attention) and seed + 3i + 2.',
    ),
    checkpoint: z
      .boolean()
      .default(false)
      .describe(
        'keep only the input of each layer and compute it again in the backward pass: less memory, more time, the same bits',
      ),
  }
}

/** In `wrt`, beside names of parameters. */
const INPUTS = [
  'x',
  'mask',
  'relative_bias',
  'relative_bias.table',
  'context',
  'past',
  'params',
  'encoder',
  'encoder.x',
  'encoder.params',
] as const
const OWN = OWN_NAMES.filter(name => name !== 'state.s')

/** In `wrt`, of a stack’s past and state. */
const pastName = z.string().regex(/^past\../, 'the name of an input or "past.<name>"')
const stateName = z.string().regex(/^state\../, 'the name of an input or "state.<name>"')
const encoderName = z.string().regex(/^encoder\.params\../, 'the name of an input or "encoder.params.<name>"')

export function stackBackwardField(tensors: TensorKinds) {
  return backwardField(
    tensors,
    nameList(z.union([z.enum([...INPUTS, ...OWN]), paramName, pastName, stateName, encoderName]), MOST_WRT),
    'x, the context or the encoder’s x, every parameter, a float mask, the table of relative_bias and gates',
  )
}

type StackSchema = ReturnType<typeof stack>
export type StackRequest = z.output<StackSchema>
