/** The options that every attention layer shares, and what it may answer beside its output. */
import * as z from 'zod'
import type { TensorKinds } from '../../formats/tensor-fields.ts'
import { positive, real } from '../numerics.ts'
import { dialectField } from './dialects/field.ts'
import { emptyRowsField } from './empty-rows.ts'
import { maskFields } from './masks/index.ts'
import { relativeBiasField } from './relative-bias.ts'
import { segmentFields } from './segments.ts'
import { qkNormFields } from './stages/qk-norm.ts'
import { ropeFields } from './stages/rope.ts'
import { variantFields } from './variants/index.ts'

/** What an attention layer may answer beside its output. */
export const ATTENTION_RETURNS = [
  'weights',
  'scores',
  'masked_scores',
  'logsumexp',
  'entropy',
  'dropped_weights',
  'softcapped_scores',
  'max_score',
] as const

/** The same of cross-attention, in a stack with a context. */
export const CROSS_RETURNS = [
  'cross_weights',
  'cross_scores',
  'cross_masked_scores',
  'cross_logsumexp',
  'cross_entropy',
  'cross_dropped_weights',
  'cross_softcapped_scores',
  'cross_max_score',
] as const

/** Keys and values as the next request takes them for its past. */
export const PRESENT_RETURNS = ['present_k', 'present_v'] as const

export const scale = real().describe('factor of q·k; default 1/√d_k')
export const softcap = positive().describe('c > 0: s → c·tanh(s/c)')

const dropout = z
  .strictObject({
    p: z.number().min(0).lt(1),
    seed: z.int().min(0).max(Number.MAX_SAFE_INTEGER).default(0),
  })
  .describe(
    'Dropout on the weights; the kept ones are scaled by 1/(1−p). The same seed drops the same weights, forward and backward.',
  )

/** Options that say what attention computes, as in CONTRACT section 2. */
export function attentionOptions(tensors: TensorKinds) {
  return {
    scale: scale.optional(),
    softcap: softcap.optional(),
    mask: tensors.mask
      .optional()
      .describe(
        'bool: true = may attend. Float: added to the scores, −∞ masks. Broadcasts right-aligned to the shape of `weights`. ' +
          'Caution: JSON numbers 0/1 without a dtype are a *float* mask that adds 0 or 1; write true/false, or give `"dtype":"bool"`.',
      ),
    ...maskFields(tensors),
    ...segmentFields(tensors),
    alibi: z
      .union([z.boolean(), tensors.values])
      .optional()
      .describe(
        '`true`: the slopes of the ALiBi paper; or one slope a head [H]. Adds −slope·|i − j|, i aligned as `causal` says.',
      ),
    relative_bias: relativeBiasField(tensors).optional(),
    sinks: tensors.values
      .optional()
      .describe(
        '[H]: one more logit a query head in the softmax’s denominator, as gpt-oss has it: never scaled, capped, biased, masked or ' +
          'dropped, and without a value. `logsumexp` and `entropy` hold it; `weights` sum to less than 1. A row without a key: output 0, ' +
          'logsumexp = the sink.',
      ),
    ...qkNormFields,
    ...ropeFields(tensors),
    empty_rows: emptyRowsField,
    dialect: dialectField,
    dropout: dropout.optional(),
    ...variantFields(tensors),
  }
}

export type AttentionOptionFields = ReturnType<typeof attentionOptions>
