/** What `POST /v1/models/{name}/forward` answers, and what `GET /v1/models` says, for the documentation. */
import * as z from 'zod'
import { tensor } from '../answers.ts'
import { LAYER_RETURNS } from './request.ts'

const AnyTensor = tensor.optional()
/** Maps and rows of attention and of cross-attention. */
export const attentionOfLayer = Object.fromEntries(
  ['', 'cross_'].flatMap(prefix => LAYER_RETURNS.map(name => [prefix + name, AnyTensor])),
)
export const topKeys = z.object({ indices: tensor, weights: tensor }).optional().describe('[B, H, N, k] each')
export const gradientsOfLayer = {
  grad_output: AnyTensor,
  grad_weights: AnyTensor,
  grad_cross_weights: AnyTensor,
}
export const headMetrics = z
  .array(
    z.object({
      index: z.int(),
      rows: z.int().describe('real ones that attend to something; the others are means over them'),
      entropy: z.number().describe('nats'),
      mean_distance: z.number(),
      previous_token: z.number(),
      first_token: z.number(),
      self: z.number(),
      special_token: z.number(),
      induction: z.number().describe('on tokens that follow an earlier copy of the current one'),
    }),
  )
  .optional()

const layers = z
  .array(
    z.object({
      index: z.int(),
      ...attentionOfLayer,
      top_keys: topKeys,
      head_metrics: headMetrics,
      ...gradientsOfLayer,
    }),
  )
  .optional()
  .describe('the chosen ones in the order asked')

export const ModelTokens = z.object({
  ids: z.array(z.array(z.int())),
  strings: z.array(z.array(z.string())).optional().describe('of the vocabulary; where there is a tokenizer'),
  offsets: z
    .array(z.array(z.array(z.int())))
    .optional()
    .describe('of a text: [begin, end) in Unicode code points'),
  attention_mask: z.array(z.array(z.int())),
})

/** What is answered of the whole model, beside its layers. */
export const wholeResults = {
  heads: z.array(z.int()).optional().describe('the chosen ones, as maps and rows hold them'),
  hidden: z.array(tensor).optional().describe('layers + 1 of [B, N, d_model]'),
  embedding: AnyTensor.describe('[B, d_model], of length 1'),
  logits: AnyTensor.describe('[B, N, vocabulary]'),
  next_tokens: z
    .object({
      ids: z.array(z.array(z.int())),
      strings: z.array(z.array(z.string())).optional(),
      probabilities: z.array(z.array(z.number())),
    })
    .optional(),
  relevance: AnyTensor.describe('[B, N]'),
  generated: z
    .object({ ids: z.array(z.array(z.int())), strings: z.array(z.array(z.string())).optional() })
    .optional()
    .describe('of each item the new tokens, with the end token where there was one'),
  values: z.array(z.number()).optional().describe('with backward: the scalar of each item, where it has one'),
}

export const ModelForwardAnswer = z
  .object({
    tokens: ModelTokens.describe('always there'),
    output: AnyTensor.describe('[B, N, d_model]'),
    layers,
    ...wholeResults,
    present: z.record(z.string(), tensor).optional(),
    encoder: z.object({ output: AnyTensor, hidden: z.array(tensor).optional(), layers }).optional(),
    grads: z
      .object({ embeddings: AnyTensor, params: z.record(z.string(), tensor).optional() })
      .optional()
      .describe('parameters by the checkpoint’s names, in its orientation'),
  })
  .meta({ id: 'ModelForwardAnswer' })

const Model = z.object({
  name: z.string(),
  family: z.string(),
  layers: z.int(),
  heads: z.int(),
  kv_heads: z.int(),
  d_model: z.int(),
  head_dim: z.number(),
  vocabulary: z.int(),
  parameters: z.int(),
  dtype: z.enum(['float32', 'float16', 'bfloat16']).describe('of most weights in the files'),
  bytes: z.int().describe('of memory, once it is loaded'),
  loaded: z.boolean(),
  loading: z.object({ done: z.int(), total: z.int() }).optional().describe('bytes, while it is being loaded'),
  tokenizer: z.boolean(),
  max_length: z.int().nullable().describe('most tokens; null where nothing bounds them'),
})

export const ModelAnswer = Model.meta({ id: 'ModelAnswer' })

export const ModelsAnswer = z
  .object({
    models: z.array(
      z.union([
        ModelAnswer,
        z.object({
          name: z.string(),
          problem: z.object({ status: z.int(), code: z.string(), detail: z.string() }),
        }),
      ]),
    ),
  })
  .meta({ id: 'ModelsAnswer' })
