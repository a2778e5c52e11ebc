/** What compute endpoints answer, for the documentation: JSON Schemas come from here as they do for requests. */
import * as z from 'zod'

export const tensor = z.unknown().meta({ id: 'AnswerTensor' })

export const errorNumber = z.union([z.number(), z.enum(['NaN', 'Infinity'])])

/** What every attention layer answers of an approximation. */
export const approximation = {
  approximation: z
    .enum(['linear', 'lsh', 'local', 'strided', 'block', 'gated', 'delta', 'gated_delta'])
    .optional()
    .describe('the attention_kind, where it is not softmax: the output is not that of exact attention'),
}
export const exactError = {
  exact_error: z
    .strictObject({
      max_abs: errorNumber.describe('largest difference'),
      rms: errorNumber.describe('root of the mean square difference'),
      relative: errorNumber.describe('norm of the difference over the norm of the exact output'),
    })
    .optional()
    .describe('with compare_exact: the heads’ outputs beside those of exact attention, padding left out'),
}

/** What attention in a stack's layer may answer, too. */
export const attentionResults = {
  weights: tensor
    .optional()
    .describe('[B, H, N, M]: softmax, before dropout; with sinks a row sums to less than 1'),
  scores: tensor.optional().describe('[B, H, N, M]: q·kᵀ·scale for every pair'),
  masked_scores: tensor.optional().describe('[B, H, N, M]: what the softmax sees; "-Infinity" where masked'),
  logsumexp: tensor
    .optional()
    .describe('[B, H, N]; "-Infinity" where a row attends to nothing, unless there are sinks'),
  entropy: tensor.optional().describe('[B, H, N]: −Σ p ln p in nats, before dropout'),
  dropped_weights: tensor.optional().describe('[B, H, N, M]: weights after dropout'),
  softcapped_scores: tensor
    .optional()
    .describe('[B, H, N, M]: the scores after the softcap, before biases and masks, for every pair'),
  max_score: tensor
    .optional()
    .describe(
      '[B, H]: the largest masked score of a head, a sink left out (what QK-clip looks at); "-Infinity" where nothing attends',
    ),
}

/** With a context; P is M there. */
export const crossResults = Object.fromEntries(
  Object.entries(attentionResults).map(([name, result]) => [
    `cross_${name}`,
    tensor.optional().describe(`the same of cross-attention: ${result.description}`),
  ]),
)

const presentResults = {
  present_k: tensor
    .optional()
    .describe('[B, H_kv, P + M, d_k]: past_k and the new keys, normalised and rotated'),
  present_v: tensor.optional().describe('[B, H_kv, P + M, d_v]: past_v and the new values'),
  state: z
    .strictObject({
      s: tensor.optional().describe('[B, H_kv, d_k, d_v]'),
      sums: tensor.optional().describe('of elu1: [B, H_kv, d_k·(d_v + 2)], float64'),
      k: tensor.optional().describe('of elu1: [B, H_kv, R, d_k]'),
      v: tensor.optional().describe('of elu1: [B, H_kv, R, d_v]'),
    })
    .optional()
    .describe('what the next request takes for its `state`'),
}

/** What a dialect was read as. */
export const conventionsResult = {
  conventions: z
    .record(z.string(), z.unknown())
    .optional()
    .describe('with a `dialect`: what was read, field by field'),
}

/** What every attention layer may answer. */
export const layerResults = {
  ...attentionResults,
  ...presentResults,
  ...approximation,
  ...exactError,
  ...conventionsResult,
}

export const lossResult = {
  loss: z
    .union([z.number(), z.enum(['NaN', 'Infinity', '-Infinity'])])
    .optional()
    .describe('with a target: the squared error; with entropy_weight: plus (or only) that term'),
}

export const paramsResult = z
  .record(z.string(), tensor)
  .optional()
  .describe('every parameter by its name, with "return":["params"]')

export function gradsResult(inputs: Record<string, string | z.ZodType>, withParams: boolean) {
  const members = Object.entries(inputs).map(([name, what]) => [
    name,
    typeof what === 'string' ? tensor.optional().describe(what) : what,
  ])
  const params = z.record(z.string(), tensor).optional().describe('by the parameters’ names')
  return z
    .strictObject({ ...Object.fromEntries(members), ...(withParams ? { params } : {}) })
    .optional()
    .describe('the gradient of input X at grads.X')
}

/** Of `attention_kind`. */
export const gateGradients = z
  .strictObject({
    gates: z.strictObject({ decay: tensor.optional(), beta: tensor.optional() }).optional(),
  })
  .optional()
  .describe('in the gates’ own shapes; in a stack the sum over the layers')

/** Of a table beside the stack. */
export const biasGradient = z
  .strictObject({ table: tensor.optional() })
  .optional()
  .describe('of the table that stands there')

export const layerGradientResults = {
  mask: 'in the mask’s own shape',
  sinks: '[H]',
  relative_bias: biasGradient,
  past_k: 'when `wrt` names it',
  past_v: 'when `wrt` names it',
  attention_kind: gateGradients,
  state: z.strictObject({ s: tensor.optional() }).optional().describe('when `wrt` names it'),
}

export const PlanAnswer = z
  .strictObject({
    shapes: z.record(z.string(), z.array(z.int())).describe('shape of every tensor of the answer, by name'),
    flops: z
      .number()
      .describe(
        'floating-point operations, a multiply-add being two; masked blocks are not counted. Where a model generates, ' +
          'an upper bound, as bytes and seconds: of all max_new_tokens, wherever the texts end',
      ),
    bytes: z.number().describe('tensor memory, with work areas and the room to write the answer'),
    seconds: z
      .number()
      .describe('estimated time on this server at the speed measured so far, when it is idle'),
    ...conventionsResult,
    admitted: z.boolean().describe('whether the request would be admitted now'),
    problem: z
      .strictObject({ status: z.int(), code: z.string(), detail: z.string() })
      .optional()
      .describe('why it would not be'),
    cut: z
      .strictObject({
        parts: z.int().describe('how many'),
        batch: z.int().describe('items of the batch in the largest of them'),
        heads: z.int().optional().describe('query heads in it, where those may be cut (attention)'),
        flops: z.number(),
        bytes: z.number(),
        seconds: z.number(),
      })
      .optional()
      .describe('how POST /v1/jobs would cut what is too large for one request, and what a part would take'),
  })
  .meta({ id: 'PlanAnswer' })

export const HealthAnswer = z
  .strictObject({
    status: z.enum(['ok', 'draining', 'unavailable']),
    kernels: z
      .strictObject({
        variant: z.string().describe('the float32 kernels in use'),
        measurements: z
          .array(
            z.strictObject({
              variant: z.string(),
              error: z.number().optional().describe('largest relative error of the self-check'),
              gigaflops: z.number().optional().describe('forward pass on one core at start-up'),
              failure: z.string().optional().describe('why this variant is out of the question'),
            }),
          )
          .describe('what the choice at start-up was made from; one variant only where KERNELS forces it'),
      })
      .optional(),
    threads: z.int().optional(),
    jobs: z.int().optional(),
    queue: z
      .enum(['ok', 'unavailable'])
      .optional()
      .describe('of jobs, with REDIS_URL; without it the server still answers requests'),
    backlog_seconds: z.number().optional(),
    memory: z
      .strictObject({ used_bytes: z.int(), committed_bytes: z.int(), limit_bytes: z.int() })
      .optional(),
  })
  .meta({ id: 'HealthAnswer' })

export const TicketAnswer = z
  .strictObject({
    ticket: z.string().describe('opens one stream, once: /v1/stream?ticket=…'),
    expires_in: z.int().describe('seconds'),
  })
  .meta({ id: 'TicketAnswer' })

export const ProblemAnswer = z
  .strictObject({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    code: z.string(),
    request_id: z.string(),
    errors: z
      .array(z.strictObject({ path: z.string().describe('JSON pointer into the body'), message: z.string() }))
      .optional(),
    state: z.string().optional().describe('of the job that has no result'),
    progress: z.strictObject({ done: z.int(), total: z.int() }).optional().describe('of the same'),
    digests: z
      .strictObject({ first: z.string(), got: z.string() })
      .optional()
      .describe('of the two bodies under one Idempotency-Key'),
  })
  .meta({ id: 'Problem' })
