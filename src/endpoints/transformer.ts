/** `POST /v1/transformer`: a whole stack, everything answered at once. */
import * as z from 'zod'
import type { TensorKinds } from '../formats/tensor-fields.ts'
import { ATTENTION_RETURNS, CROSS_RETURNS } from '../layers/attention/fields.ts'
import { attentionAnswers, crossNames, requestedResults } from '../layers/attention/index.ts'
import { answerGradients, answerParams, GradientSet, maskGradient } from '../layers/gradients.ts'
import { numerics, returns } from '../layers/numerics.ts'
import type { RequestProgram } from '../layers/program-builder.ts'
import { sequenceShape } from '../layers/sequence.ts'
import {
  backwardLayer,
  beginBackward,
  beginForward,
  endForward,
  forwardLayer,
  type StackState,
} from '../layers/stack.ts'
import { optionsBesideStack, stack, stackBackwardField } from '../layers/stack-fields.ts'
import { pastGradients, presentOutputs, refuseNonCausal } from '../layers/stack-past.ts'
import { type CompiledStack, compileStack, stackLoss } from '../layers/stack-request.ts'
import { fieldProblem } from '../problem.ts'
import {
  approximation,
  attentionResults,
  crossResults,
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
      return: returns(['output', ...ATTENTION_RETURNS, ...CROSS_RETURNS, 'present', 'params']).describe(
        'what to answer beside loss and gradients; maps and rows stand in `layers`, one object a layer. `present`: keys and values ' +
          'of every layer, as the next request takes them for its `past`',
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
      .array(z.strictObject({ ...attentionResults, ...crossResults, ...exactError }))
      .optional()
      .describe('what `return` names of each layer’s attention'),
    ...approximation,
    present: z
      .record(z.string(), tensor)
      .optional()
      .describe(
        'layers.i.k and layers.i.v [B, H_kv, P + N, head_dim]: the past and the new ones, normalised and rotated',
      ),
    params: paramsResult,
    ...lossResult,
    grads: gradsResult(
      {
        x: 'x’s',
        context: 'the context’s',
        past: 'an object, where `wrt` names it',
        mask: 'the sum over the layers, in the mask’s own shape',
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
  refuseReturns(request)
  const compiled = yield* compileStack(p, request)
  const { x, taken } = compiled
  const gradientSet = new GradientSet(request.backward?.wrt, {
    x: true,
    context: request.context && true,
    mask: maskGradient(request.mask),
    ...compiled.differentiable,
  })
  const state = yield* forward(p, compiled, request)
  const outputShape = sequenceShape(x, x.positions, x.dim)
  if (request.return.includes('output')) p.output('output', state.output, outputShape)
  if (request.return.includes('params')) answerParams(p, '', taken, ({ ref }) => ref)
  if (request.backward === undefined) return

  const loss = stackLoss(p, compiled, state, request.backward)
  const gradients = beginBackward(p, state, loss.gradOutput, {
    scalars: loss.scalars,
    needs: name => gradientSet.has(`params.${name}`),
    needsMask: gradientSet.has('mask'),
    needsContext: gradientSet.has('context'),
    needsPast: name => gradientSet.has(`past.${name}`),
  })
  for (let layer = state.shape.layers - 1; layer >= 0; layer--) {
    backwardLayer(p, state, gradients, layer)
    yield
  }
  answerGradients(p, {
    x: [gradientSet.has('x') ? gradients.grad : undefined, request.x],
    context: [gradients.context, request.context],
    mask: [gradients.mask, request.mask],
    ...pastGradients(gradients.past, request.past),
  })
  answerParams(p, 'grads.', taken, ({ name }) => gradients.params.get(name))
}

/** All layers, and what is to be answered of each. */
function* forward(
  p: RequestProgram,
  { inputs, shape, params }: CompiledStack,
  request: Pick<TransformerRequest, 'return' | 'backward'>,
): Generator<void, StackState> {
  const cross = crossNames(request.return)
  const { entropy, maps = [] } = requestedResults(request)
  const ofCross = requestedResults({ return: cross })
  const { maps: crossMaps = [] } = ofCross
  const requested = { entropy: entropy || ofCross.entropy, maps: () => maps, crossMaps: () => crossMaps }
  const state = beginForward(p, shape, inputs, params, requested)
  for (let layer = 0; layer < shape.layers; layer++) {
    const block = forwardLayer(p, state, layer)
    attentionAnswers(p, block.attention.attention, request.return, false, `layers.${layer}.`)
    if (block.cross !== undefined) {
      attentionAnswers(p, block.cross.attention, cross, false, `layers.${layer}.cross_`)
    }
    if (request.return.includes('present')) {
      for (const { name, buffer, shape } of presentOutputs(block.attention.attention, layer))
        p.output(name, buffer, shape)
    }
    yield
  }
  endForward(p, state)
  return state
}

/** Without a context there is no cross-attention; only a causal stack has a present. */
function refuseReturns(request: TransformerRequest): void {
  const present = request.return.indexOf('present')
  if (present >= 0) refuseNonCausal(request.stack, `/return/${present}`, '"present"')
  const at = request.return.findIndex(name => name.startsWith('cross_'))
  if (at < 0 || request.context !== undefined) return
  const message = `expected context beside "${request.return[at]}", got none`
  throw fieldProblem('INVALID_REQUEST', `/return/${at}`, message)
}
