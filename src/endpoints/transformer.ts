/** `POST /v1/transformer`: a whole stack, everything answered at once. */
import * as z from 'zod'
import type { TensorKinds } from '../formats/tensor-fields.ts'
import { ATTENTION_RETURNS } from '../layers/attention/fields.ts'
import { attentionAnswers, requestedResults } from '../layers/attention/index.ts'
import { answerGradients, answerParams, GradientSet, maskGradient } from '../layers/gradients.ts'
import { numerics, returns } from '../layers/numerics.ts'
import type { RequestProgram } from '../layers/program-builder.ts'
import { sequenceShape } from '../layers/sequence.ts'
import { backwardLayer, beginBackward, beginForward, endForward, forwardLayer } from '../layers/stack.ts'
import { optionsBesideStack, stack, stackBackwardField } from '../layers/stack-fields.ts'
import { compileStack, stackLoss } from '../layers/stack-request.ts'
import {
  approximation,
  attentionResults,
  exactError,
  gradsResult,
  lossResult,
  paramsResult,
  tensor,
} from './answers.ts'
import { defineEndpoint } from './endpoint.ts'

function request(tensors: TensorKinds) {
  return z
    .strictObject({
      stack: stack(tensors),
      x: tensors.values.describe('[B, N, d_model], or [N, d_model] without a batch'),
      ...optionsBesideStack(tensors),
      return: returns(['output', ...ATTENTION_RETURNS, 'params']).describe(
        'what to answer beside loss and gradients; maps and rows stand in `layers`, one object a layer',
      ),
      backward: stackBackwardField(tensors).optional(),
      ...numerics,
    })
    .meta({ id: 'TransformerRequest' })
}

type TransformerRequest = z.output<ReturnType<typeof request>>

const TransformerAnswer = z
  .strictObject({
    output: tensor.optional().describe('[B, N, d_model] in x’s rank'),
    layers: z
      .array(z.strictObject({ ...attentionResults, ...exactError }))
      .optional()
      .describe('what `return` names of each layer’s attention'),
    ...approximation,
    params: paramsResult,
    ...lossResult,
    grads: gradsResult(
      {
        x: 'x’s',
        mask: 'the sum over the layers, in the mask’s own shape',
        sinks: '[H], the sum over the layers',
      },
      true,
    ),
  })
  .meta({ id: 'TransformerAnswer' })

export const transformer = defineEndpoint({
  path: '/v1/transformer',
  name: 'transformer',
  summary: 'A whole transformer stack at once: output, maps of every layer and head, and all gradients',
  request,
  answer: TransformerAnswer,
  layers: ({ stack }) => stack.layers,
  compile,
})

function* compile(p: RequestProgram, request: TransformerRequest): Generator<void> {
  const compiled = yield* compileStack(p, request)
  const { x, input, plan, shape, params, taken, differentiable } = compiled
  const gradientSet = new GradientSet(request.backward?.wrt, {
    x: true,
    mask: maskGradient(request.mask),
    sinks: request.sinks && true,
    ...differentiable,
  })
  const { entropy, maxima, maps = [] } = requestedResults(request)
  const state = beginForward(p, plan, shape, input, params, { entropy, maxima, maps: () => maps })
  for (let layer = 0; layer < shape.layers; layer++) {
    const { attention } = forwardLayer(p, state, layer)
    attentionAnswers(p, attention.attention, request.return, false, `layers.${layer}.`)
    yield
  }
  endForward(p, state)
  const outputShape = sequenceShape(x, x.positions, x.dim)
  if (request.return.includes('output')) p.output('output', state.output, outputShape)
  if (request.return.includes('params')) answerParams(p, '', taken, ({ ref }) => ref)
  if (request.backward === undefined) return

  const loss = stackLoss(p, compiled, state, request.backward)
  const gradients = beginBackward(p, state, loss.gradOutput, {
    scalars: loss.scalars,
    needs: name => gradientSet.has(`params.${name}`),
    needsMask: gradientSet.has('mask'),
    needsSinks: gradientSet.has('sinks'),
  })
  for (let layer = shape.layers - 1; layer >= 0; layer--) {
    backwardLayer(p, state, gradients, layer)
    yield
  }
  answerGradients(p, {
    x: [gradientSet.has('x') ? gradients.grad : undefined, request.x],
    mask: [gradients.mask, request.mask],
    sinks: [gradients.sinks, request.sinks],
  })
  answerParams(p, 'grads.', taken, ({ name }) => gradients.params.get(name))
}
