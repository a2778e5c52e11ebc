/** `POST /v1/transformer`: a whole stack, everything answered at once. */
import * as z from 'zod'
import type { TensorKinds } from '../formats/tensor-fields.ts'
import { inOurs } from '../layers/attention/dialects/compile.ts'
import { ATTENTION_RETURNS, CROSS_RETURNS } from '../layers/attention/fields.ts'
import { attentionAnswers, crossNames, requestedResults } from '../layers/attention/index.ts'
import { attentionKind } from '../layers/attention/variants/index.ts'
import { compileModel, type Role, runModel } from '../layers/encoder-decoder.ts'
import { answerParams } from '../layers/gradients.ts'
import { numerics, returns } from '../layers/numerics.ts'
import type { RequestProgram } from '../layers/program-builder.ts'
import { sequenceShape } from '../layers/sequence.ts'
import {
  backwardLayer,
  beginForward,
  endForward,
  forwardLayer,
  type Rows,
  type StackBackward,
  type StackState,
} from '../layers/stack.ts'
import { optionsBesideStack, stack, stackBackwardField } from '../layers/stack-fields.ts'
import { presentOutputs, refuseNonCausal } from '../layers/stack-past.ts'
import type { CompiledStack } from '../layers/stack-request.ts'
import { layerStateOutputs, positionOutput, refuseStateBeside } from '../layers/stack-state.ts'
import { fieldProblem } from '../problem.ts'
import {
  approximation,
  attentionResults,
  biasGradient,
  conventionsResult,
  crossResults,
  exactError,
  gateGradients,
  gradsResult,
  lossResult,
  paramsResult,
  tensor,
} from './answers.ts'
import { defineEndpoint } from './endpoint.ts'

function request(tensors: TensorKinds) {
  const ofStack = stack(tensors)
  return z
    .strictObject({
      stack: ofStack,
      x: tensors.values.describe('[B, N, d_model], or [N, d_model] without a batch'),
      ...optionsBesideStack(tensors, ofStack),
      return: returns([
        'output',
        ...ATTENTION_RETURNS,
        ...CROSS_RETURNS,
        'present',
        'state',
        'params',
      ]).describe(
        'what to answer beside loss and gradients; maps and rows stand in `layers`, one object a layer. `present`: keys and values ' +
          'of every layer, as the next request takes them for its `past`; `state`: what they have left, as it takes it for its `state`',
      ),
      backward: stackBackwardField(tensors).optional(),
      ...numerics,
    })
    .meta({ id: 'TransformerRequest' })
}

type TransformerRequest = z.output<ReturnType<typeof request>>

const tensors = z.record(z.string(), tensor).optional()

const TransformerAnswer = z
  .strictObject({
    output: tensor.optional().describe('[B, N, d_model] in x’s rank'),
    layers: z
      .array(z.strictObject({ ...attentionResults, ...crossResults, ...exactError }))
      .optional()
      .describe('what `return` names of each layer’s attention'),
    encoder: z
      .strictObject({
        output: tensor.optional(),
        layers: z.array(z.strictObject(attentionResults)).optional(),
        params: paramsResult,
      })
      .optional()
      .describe('the same of the encoder, where there is one'),
    ...approximation,
    ...conventionsResult,
    present: z
      .record(z.string(), tensor)
      .optional()
      .describe(
        'layers.i.k and layers.i.v [B, H_kv, P + N, head_dim]: the past and the new ones, normalised and rotated',
      ),
    state: z
      .record(z.string(), tensor)
      .optional()
      .describe('layers.i.s [B, H_kv, head_dim, head_dim], and position [1] (float64)'),
    params: paramsResult,
    ...lossResult,
    grads: gradsResult(
      {
        x: 'x’s',
        context: 'the context’s',
        past: tensors.describe('by the names of the request’s, where `wrt` names it'),
        state: tensors.describe('by the names of the request’s, where `wrt` names it'),
        attention_kind: gateGradients,
        encoder: z
          .strictObject({ x: tensor.optional(), params: tensors })
          .optional()
          .describe('x and params of the encoder'),
        mask: 'the sum over the layers, in the mask’s own shape',
        relative_bias: biasGradient,
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
  layers: ({ stack, encoder }) => stack.layers + (encoder?.stack.layers ?? 0),
  compile,
})

function* compile(p: RequestProgram, given: TransformerRequest): Generator<void> {
  const request = given.dialect === undefined ? given : inOurs(p, given)
  refuseReturns(request)
  const model = yield* compileModel(p, request)
  yield* runModel(p, request, model, {
    entropy: request.return.includes('entropy') || request.return.includes('cross_entropy'),
    paramGradients: true,
    wants: () => true,
    forward: (role, stack, rows) => forward(p, request.return, role, stack, rows),
    backward: (_role, _stack, state, gradients) => backward(p, state, gradients),
  })
}

function* backward(p: RequestProgram, state: StackState, gradients: StackBackward): Generator<void> {
  for (let layer = state.shape.layers - 1; layer >= 0; layer--) {
    backwardLayer(p, state, gradients, layer)
    yield
  }
}

/** All layers, and what is to be answered of each, and of the whole. */
function* forward(
  p: RequestProgram,
  names: TransformerRequest['return'],
  role: Role,
  { x, positions, inputs, shape, params, taken }: CompiledStack,
  rows: Rows,
): Generator<void, StackState> {
  const prefix = role === 'encoder' ? 'encoder.' : ''
  const cross = crossNames(names)
  const ofLayers = names.filter(name => name !== 'state')
  const { maxima, maps = [] } = requestedResults({ return: names })
  const { maxima: crossMaxima, maps: crossMaps = [] } = requestedResults({ return: cross })
  const entropy = rows.rows.entropy !== undefined
  const requested = { entropy, maxima, crossMaxima, maps: () => maps, crossMaps: () => crossMaps }
  const state = beginForward(p, shape, inputs, params, requested, rows)
  for (let layer = 0; layer < shape.layers; layer++) {
    const block = forwardLayer(p, state, layer)
    const at = `${prefix}layers.${layer}.`
    attentionAnswers(p, block.attention.attention, ofLayers, false, at)
    if (block.cross !== undefined) attentionAnswers(p, block.cross.attention, cross, false, `${at}cross_`)
    if (role === 'decoder') {
      const outputs = names.includes('present') ? presentOutputs(block.attention.attention, layer) : []
      if (names.includes('state')) outputs.push(...layerStateOutputs(p, block.attention.attention, layer))
      for (const { name, buffer, shape } of outputs) p.output(name, buffer, shape)
    }
    yield
  }
  endForward(p, state)
  if (names.includes('state') && role === 'decoder') {
    const { name, buffer, shape, dtype } = positionOutput(p, positions)
    p.output(name, buffer, shape, undefined, dtype)
  }
  const outputShape = sequenceShape(x, x.positions, x.dim)
  if (names.includes('output')) p.output(`${prefix}output`, state.output, outputShape)
  if (names.includes('params')) answerParams(p, prefix, taken, ({ ref }) => ref)
  return state
}

/** Without a context there is no cross-attention; only a causal stack has a present. */
function refuseReturns(request: TransformerRequest): void {
  const present = request.return.indexOf('present')
  if (present >= 0) refuseNonCausal(request.stack, `/return/${present}`, '"present"')
  const state = request.return.indexOf('state')
  if (state >= 0) refuseStateBeside(request, attentionKind(request.attention_kind), `/return/${state}`)
  const at = request.return.findIndex(name => name.startsWith('cross_'))
  if (at < 0 || request.context !== undefined || request.encoder !== undefined) return
  const message = `expected context or encoder beside "${request.return[at]}", got none`
  throw fieldProblem('INVALID_REQUEST', `/return/${at}`, message)
}
