/** The request of `POST /v1/attention`, and the options that every attention layer shares. */
import * as z from 'zod'
import type { TensorKinds } from '../../formats/tensor-fields.ts'
import { tensorKinds } from '../../formats/tensor-fields.ts'
import { attentionKindFields } from './variants/fields.ts'

/** What an attention layer may answer beside its output. */
export const ATTENTION_RETURNS = [
  'weights',
  'scores',
  'masked_scores',
  'logsumexp',
  'entropy',
  'dropped_weights',
] as const

/** Keys and values as the next request takes them for its past. */
export const PRESENT_RETURNS = ['present_k', 'present_v'] as const

const SEED_MAX = Number.MAX_SAFE_INTEGER

/** Largest finite float32: options are numbers both precisions can hold. */
const FLOAT32_MAX = 3.4028234663852886e38
const real = () => z.number().min(-FLOAT32_MAX).max(FLOAT32_MAX)
export const positive = () => z.number().min(1e-30).max(FLOAT32_MAX)
export const offset = () =>
  z
    .int()
    .min(-(2 ** 40))
    .max(2 ** 40)

const window = z
  .strictObject({
    left: z.int().min(0).nullish().describe('keys to the left of the aligned position; null = unbounded'),
    right: z.int().min(0).nullish().describe('keys to the right of the aligned position; null = unbounded'),
  })
  .describe(
    'Attend only to keys j in [i − left, i + right], inclusive, with i aligned as `causal` says (`top_left` without it).',
  )

const qkNorm = z
  .union([
    z.literal('l2'),
    z.strictObject({ kind: z.literal('rms'), eps: positive().default(1e-6) }),
    z.strictObject({ kind: z.literal('l2'), eps: positive().default(1e-12) }),
  ])
  .describe(
    'Normalise every row of q and k first: `"l2"` is x / max(‖x‖, 1e-12), `rms` is x / √(mean(x²) + eps).',
  )

export const rope = z
  .strictObject({
    base: positive().default(10000),
    interleaved: z.boolean().default(false).describe('pairs (x_2j, x_2j+1) rather than (x_j, x_j+dims/2)'),
    dims: z.int().min(2).optional().describe('how many leading elements are rotated; even; default d_k'),
    q_offset: offset()
      .optional()
      .describe('position of the first query; default 0, or the length of the past'),
    k_offset: offset()
      .optional()
      .describe('position of the first new key; default 0, or the length of the past'),
  })
  .describe('Rotary position embedding of q and k, after qk_norm.')

const dropout = z
  .strictObject({
    p: z.number().min(0).lt(1),
    seed: z.int().min(0).max(SEED_MAX).default(0),
  })
  .describe(
    'Dropout on the weights; the kept ones are scaled by 1/(1−p). The same seed drops the same weights, forward and backward.',
  )

/** Options that say what attention computes, as in CONTRACT section 2. */
export function attentionOptions(tensors: TensorKinds) {
  return {
    scale: real().optional().describe('factor of q·k; default 1/√d_k'),
    softcap: positive().optional().describe('c > 0: s → c·tanh(s/c)'),
    mask: tensors.mask
      .optional()
      .describe(
        'bool: true = may attend. Float: added to the scores, −∞ masks. Broadcasts right-aligned to the shape of `weights`. ' +
          'Caution: JSON numbers 0/1 without a dtype are a *float* mask that adds 0 or 1; write true/false, or give `"dtype":"bool"`.',
      ),
    causal: z
      .union([z.boolean(), z.enum(['top_left', 'bottom_right'])])
      .default(false)
      .describe(
        '`true` = `"top_left"`: j ≤ i. `"bottom_right"`: j ≤ i + m − n, with m, n that batch’s kv_lengths, q_lengths where given, else M, N.',
      ),
    q_lengths: tensors.whole.optional().describe('[B]: query rows from there on are padding'),
    kv_lengths: tensors.whole.optional().describe('[B]: keys from there on are padding'),
    window: window.optional(),
    alibi: z
      .union([z.boolean(), tensors.values])
      .optional()
      .describe(
        '`true`: the slopes of the ALiBi paper; or one slope a head [H]. Adds −slope·|i − j|, i aligned as `causal` says.',
      ),
    qk_norm: qkNorm.optional(),
    rope: rope.optional(),
    dropout: dropout.optional(),
    ...attentionKindFields,
  }
}

/** How numbers come in and go out. */
export const numerics = {
  precision: z
    .enum(['float32', 'float64'])
    .default('float32')
    .describe('`float32`: SIMD kernels; `float64`: the reference kernels'),
  non_finite: z
    .enum(['reject', 'propagate'])
    .default('reject')
    .describe(
      '`reject`: a NaN or infinity in any input is a 400 that names its place (−∞ in a float mask is no fault)',
    ),
  encoding: z
    .enum(['nested', 'flat', 'base64'])
    .default('nested')
    .describe('how tensors are written in a JSON answer'),
  output_dtype: z
    .enum(['float64', 'float32', 'float16', 'bfloat16'])
    .optional()
    .describe('element type of the tensors in the answer; default: the precision'),
}

export function backward(tensors: TensorKinds, wrt: z.ZodType<string>, byDefault: string) {
  return z
    .strictObject({
      grad_output: tensors.values.optional().describe('∂L/∂output, shaped like the output'),
      target: tensors.values.optional().describe('target of a squared-error loss, shaped like the output'),
      loss: z
        .enum(['sum_squared_error', 'mean_squared_error'])
        .optional()
        .describe(
          'with `target`: Σ(output − target)² (default) or its mean over the elements that are no padding',
        ),
      entropy_weight: real()
        .optional()
        .describe('λ: adds λ × the mean entropy of the rows that attend to something'),
      wrt: z.array(wrt).optional().describe(`inputs whose gradients are wanted; default ${byDefault}`),
    })
    .superRefine((value, context) => {
      if ((value.grad_output === undefined) !== (value.target === undefined)) return
      const got = value.target === undefined ? 'neither' : 'both'
      context.addIssue({ code: 'custom', message: `expected one of grad_output and target, got ${got}` })
    })
    .refine(value => value.loss === undefined || value.target !== undefined, {
      error: 'expected target beside loss, got none',
      path: ['loss'],
    })
}

/** For autoregressive decoding: what earlier requests answered as present_k and present_v. */
export function pastFields(tensors: TensorKinds) {
  return {
    past_k: tensors.values
      .optional()
      .describe(
        '[B, H_kv, P, d_k]: keys before the new ones, already normalised and rotated. Query i then stands at position P + i ' +
          'for `causal`, `window`, `alibi` (top_left) and rope; masks and kv_lengths count all P + M keys; the answer has present_k.',
      ),
    past_v: tensors.values
      .optional()
      .describe('[B, H_kv, P, d_v]: values before the new ones; the answer has present_v'),
  }
}

export function returns<const T extends readonly [string, ...string[]]>(names: T) {
  return z
    .array(z.enum(names))
    .default(['output' as never])
    .describe('what to answer beside loss and gradients')
}

export function attentionRequest(tensors: TensorKinds) {
  return z
    .strictObject({
      q: tensors.values.describe('[B, H, N, d_k], or [B, N, d_k] or [N, d_k] with one head (and one batch)'),
      k: tensors.values.describe('[B, H_kv, M, d_k] in q’s rank; H is a multiple of H_kv'),
      v: tensors.values.describe('[B, H_kv, M, d_v] in q’s rank'),
      ...pastFields(tensors),
      ...attentionOptions(tensors),
      return: returns(['output', ...ATTENTION_RETURNS, ...PRESENT_RETURNS]),
      backward: backward(
        tensors,
        z.enum(['q', 'k', 'v', 'mask', 'past_k', 'past_v']),
        'q, k, v and a float mask',
      ).optional(),
      ...numerics,
    })
    .meta({ id: 'AttentionRequest' })
}

export const AttentionRequest = attentionRequest(tensorKinds(false))
export const AttentionShapes = attentionRequest(tensorKinds(true))
export type AttentionRequest = z.output<typeof AttentionRequest>
