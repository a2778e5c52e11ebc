/** `start` of a model over the stream: `model` and its tokens in place of `stack` and `x`. */
import * as z from 'zod'
import { tensorKinds } from '../../formats/tensor-fields.ts'
import { nameList } from '../../layers/numerics.ts'
import { BACKWARD_EMITS, delivery, detail, layerList, RunId, traceHeader } from '../stream-messages.ts'
import { CROSS_RETURNS, forwardFields, LAYER_RETURNS, layerNames } from './request.ts'

const EMITS = [
  'output',
  ...LAYER_RETURNS,
  ...CROSS_RETURNS,
  'present',
  'head_metrics',
  'top_keys',
  ...BACKWARD_EMITS,
] as const
const GRADIENTS: readonly string[] = BACKWARD_EMITS
const MOST_NAME = 255

export const ModelStartMessage = startMessage()
export type ModelStart = z.output<typeof ModelStartMessage>

function startMessage() {
  const { emit: _emit, encoding: _encoding, ...fields } = forwardFields(tensorKinds(false))
  return z
    .strictObject({
      type: z.literal('start'),
      id: RunId,
      model: z.string().min(1).max(MOST_NAME).describe('its name, as `GET /v1/models` has it'),
      ...fields,
      pass: z
        .enum(['forward', 'forward_backward'])
        .optional()
        .describe('default: forward_backward where there is `backward`'),
      traceparent: traceHeader('traceparent'),
      tracestate: traceHeader('tracestate'),
      emit: nameList(z.enum(EMITS), EMITS.length)
        .optional()
        .describe(
          'what the layers’ frames hold, in one frame a layer and pass: forward the layer’s output, maps and rows of its attention, present, ' +
            'head_metrics, top_keys; with backward grad_output, grad_weights, grad_cross_weights and grad_params (an object by the ' +
            'checkpoint’s names; the last layer’s has the final norm; what is of no layer stands in `done`). What `return` names of layers ' +
            'is emitted too; default: weights, if it names nothing of them. With weights (and cross_weights) each token that is generated ' +
            'comes with what its row attends to, in the chosen layers and heads',
        ),
      layers: layerList.optional().describe('the layers whose frames are wanted; default all, and [] none'),
      detail: detail.optional(),
      ...delivery,
    })
    .superRefine((value, context) => {
      const issue = (path: PropertyKey[], message: string) =>
        context.addIssue({ code: 'custom', path, message })
      const backward = value.backward !== undefined
      if (value.pass === 'forward_backward' && !backward)
        issue(['backward'], 'expected backward beside "pass":"forward_backward", got nothing')
      if (value.pass === 'forward' && backward)
        issue(['pass'], 'expected "forward_backward" beside backward, got "forward"')
      for (const [index, name] of (value.emit ?? []).entries()) {
        if (!backward && GRADIENTS.includes(name))
          issue(['emit', index], `expected backward beside "${name}", got none`)
      }
      const resumed = value.resume?.pass
      if (resumed === 'backward' && !backward)
        issue(['resume', 'pass'], 'expected "forward" without backward, got "backward"')
      if (resumed === 'generate' && value.generate === undefined)
        issue(['resume', 'pass'], 'expected "forward" without generate, got "generate"')
    })
    .meta({ id: 'ModelStartMessage' })
}

/** What is asked of each layer. */
export function emitted(message: ModelStart): string[] {
  const own = layerNames(message)
  const { emit = own.length === 0 ? ['weights'] : [] } = message
  return [...new Set([...own, ...emit])]
}
