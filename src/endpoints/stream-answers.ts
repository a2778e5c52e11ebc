/** What the server sends over `GET /v1/stream`, for the documentation. */
import * as z from 'zod'
import {
  approximation,
  biasGradient,
  conventionsResult,
  exactError,
  gateGradients,
  lossResult,
  ProblemAnswer,
  tensor,
} from './answers.ts'
import {
  attentionOfLayer,
  gradientsOfLayer,
  headMetrics,
  ModelTokens,
  topKeys,
  wholeResults,
} from './models/answer.ts'
import { FetchMessage, MAP_EMITS, Resume, RunId } from './stream-messages.ts'

const ms = (what: string) => z.number().describe(`${what}, in milliseconds`)
const pass = z.enum(['forward', 'backward'])

const AcceptedMessage = z
  .strictObject({
    type: z.literal('accepted'),
    id: RunId,
    layers: z.int().describe('how many the stack has, without those of an encoder'),
    tokens: ModelTokens.optional().describe('of a model: what its layers are about'),
    traceresponse: z.string().optional().describe('the span of the run, where this server sends traces'),
    plan: z.strictObject({
      flops: z.number().describe('floating-point operations of the run'),
      bytes: z.number().describe('tensor memory that the run holds until it has ended'),
      seconds: z.number().describe('estimated time at the speed measured so far, on an idle server'),
    }),
  })
  .meta({ id: 'AcceptedMessage' })

const LayerMessage = z
  .strictObject({
    type: z.literal('layer'),
    id: RunId,
    pass,
    stack: z.literal('encoder').optional().describe('whose layer it is, where it is the encoder’s'),
    index: z.int().describe('the layer; the backward pass comes from the last to the first'),
    timing: z.strictObject({
      at: ms('from the acceptance of the run to the end of this layer'),
      compute: ms('wall-clock time of this layer’s tasks'),
    }),
    head_metrics: headMetrics.describe('of a model, where `emit` names them'),
    tensors: z
      .strictObject({
        output: tensor.optional(),
        ...attentionOfLayer,
        top_keys: topKeys,
        present: z.record(z.string(), tensor).optional().describe('layers.i.k and layers.i.v'),
        state: z.record(z.string(), tensor).optional().describe('layers.i.s'),
        ...gradientsOfLayer,
        grad_params: z
          .record(z.string(), tensor)
          .optional()
          .describe('by full parameter name; of a model by the checkpoint’s names'),
      })
      .describe('what `emit` names of this pass; with `detail` the maps are thumbnails of dtype uint8'),
    scales: z
      .strictObject({
        weights: tensor.optional(),
        scores: tensor.optional(),
        cross_weights: tensor.optional(),
        cross_scores: tensor.optional(),
        grad_weights: tensor.optional(),
        grad_cross_weights: tensor.optional(),
      })
      .optional()
      .describe(
        'with `detail`: [B, H], what the bytes of a thumbnail stand for. weights: byte/255·scale; scores and grad_weights: ' +
          '(byte − 128)/127·scale, 128 being 0',
      ),
  })
  .meta({ id: 'LayerMessage' })

const TokenMessage = z
  .strictObject({
    type: z.literal('token'),
    id: RunId,
    item: z.int().describe('which text it follows'),
    index: z.int().describe('which of its new tokens it is'),
    token: z.strictObject({ id: z.int(), string: z.string().optional() }),
    timing: z.strictObject({
      at: ms('from the acceptance of the run to this token'),
      compute: ms('wall-clock time of this token’s tasks'),
    }),
    layers: z
      .array(
        z.strictObject({
          index: z.int(),
          weights: tensor
            .optional()
            .describe('[H, M]: M tokens, without padding, with those generated before'),
          cross_weights: tensor.optional().describe('[H, M] of the encoder’s tokens'),
        }),
      )
      .optional()
      .describe(
        'where `emit` names weights: whom the row that the token was drawn from attends to, in the chosen layers and heads',
      ),
  })
  .describe(
    'A token that a model has generated. It takes no credit: tokens come one behind the other as fast as their client reads.',
  )
  .meta({ id: 'TokenMessage' })

const ProgressMessage = z
  .strictObject({
    type: z.literal('progress'),
    id: RunId,
    done: z.int().describe('layers computed, those of both passes counted, and tokens generated'),
    total: z.int(),
  })
  .meta({ id: 'ProgressMessage' })

const DoneMessage = z
  .strictObject({
    type: z.literal('done'),
    id: RunId,
    ...approximation,
    ...conventionsResult,
    ...lossResult,
    layers: z.array(z.strictObject(exactError)).optional().describe('with compare_exact'),
    timing: z.strictObject({
      total: ms('from the acceptance of the run to its end, waiting for the client included'),
      decode: ms('reading inputs'),
      queue: ms('before the first task'),
      compute: ms('the sum over the layers'),
      encode: ms('writing small frames; large ones are written while they are sent'),
    }),
    output: tensor.optional().describe('[B, N, d_model] in x’s rank; of a model where `return` names it'),
    tokens: ModelTokens.optional().describe('of a model, as in `accepted`'),
    ...wholeResults,
    state: z
      .strictObject({ position: tensor })
      .optional()
      .describe('where `emit` names the state: the part of it that is of no layer'),
    encoder: z
      .strictObject({ output: tensor.optional(), hidden: z.array(tensor).optional() })
      .optional()
      .describe('where there is one'),
    grads: z
      .strictObject({
        x: tensor.optional(),
        embeddings: tensor.optional().describe('of a model'),
        params: z
          .record(z.string(), tensor)
          .optional()
          .describe(
            'of a model, by the checkpoint’s names: those that `wrt` names and no layer’s frame holds',
          ),
        context: tensor.optional(),
        past: tensor.optional(),
        state: tensor.optional(),
        attention_kind: gateGradients,
        encoder: z.strictObject({ x: tensor }).optional(),
        mask: tensor.optional(),
        relative_bias: biasGradient,
      })
      .optional()
      .describe(
        'of x, the context, the past, a float mask and a table of biases beside the stack, as `wrt` says; those of parameters are in the layers’ frames',
      ),
  })
  .meta({ id: 'DoneMessage' })

const MapMessage = z
  .strictObject({
    type: z.literal('map'),
    id: RunId,
    layer: z.int(),
    head: z.int(),
    tensor: z.enum(MAP_EMITS),
    stack: z.literal('encoder').optional(),
    pass,
    values: tensor.describe('[B, N, M], or [N, M] without a batch; M is N but for cross-attention'),
  })
  .describe('the answer to `fetch`')
  .meta({ id: 'MapMessage' })

const CancelledMessage = z
  .strictObject({ type: z.literal('cancelled'), id: RunId })
  .meta({ id: 'CancelledMessage' })

const ErrorMessage = z
  .strictObject({
    type: z.literal('error'),
    id: RunId.optional(),
    fetch: FetchMessage.omit({ type: true }).optional().describe('the fetch that failed'),
    problem: ProblemAnswer,
  })
  .describe(
    'With `id`: the run of that id has ended, or was not accepted. Without: a message was wrong, and all runs go on. The ' +
      'connection lives on, unless what came is no WebSocket frame, is larger than the server takes or does not arrive in ' +
      'time, or what is on its way takes too much memory; then it is closed.',
  )
  .meta({ id: 'ErrorMessage' })

const GoingAwayMessage = z
  .strictObject({
    type: z.literal('going_away'),
    resume: z
      .array(Resume)
      .optional()
      .describe('of each run that has not ended: what its `start` takes for `resume` on another server'),
  })
  .describe(
    'The server takes no new runs; it finishes those it has within a bounded time and then closes the connection (1001), at the end of ' +
      'that time also where a run has not ended, as one that waits for a credit or for its frames to be read. Where the connection ' +
      'ends before a run does, the same `start` with its `resume` goes on elsewhere. `resume` counts all frames that came before this ' +
      'message as received.',
  )
  .meta({ id: 'GoingAwayMessage' })

/** What the server may send, by type. */
export const SERVER_MESSAGES = {
  accepted: AcceptedMessage,
  layer: LayerMessage,
  token: TokenMessage,
  progress: ProgressMessage,
  done: DoneMessage,
  map: MapMessage,
  cancelled: CancelledMessage,
  error: ErrorMessage,
  going_away: GoingAwayMessage,
}
