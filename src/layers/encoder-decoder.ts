/** What a request for a stack runs: the stack itself, and where it gives an encoder, that one before it. */
import type { Ref } from '../../workers/contract.ts'
import type { TensorSource } from '../formats/tensor.ts'
import { bothProblem, Problem } from '../problem.ts'
import { ownGradients, ownInputs } from './attention/variants/index.ts'
import { answerGradients, answerParams, type Differentiable, GradientSet, maskGradient } from './gradients.ts'
import type { LossOptions } from './loss.ts'
import type { RequestProgram } from './program-builder.ts'
import { contextOf, sequenceOf } from './sequence.ts'
import {
  beginBackward,
  NO_GRADIENTS,
  type Rows,
  rowCount,
  rowsOf,
  type StackBackward,
  type StackState,
} from './stack.ts'
import type { StackRequest } from './stack-fields.ts'
import { pastGradients } from './stack-past.ts'
import { type CompiledStack, compileStack, type StackFields, stackLoss } from './stack-request.ts'

export interface EncoderFields {
  stack: StackRequest
  x: TensorSource
  q_lengths?: TensorSource | undefined
}

export interface ModelFields extends StackFields {
  encoder?: EncoderFields | undefined
  backward?: (LossOptions & { wrt?: string[] | undefined }) | undefined
}

/** Which of the two a stack is. */
export type Role = 'encoder' | 'decoder'

export interface CompiledModel {
  /** its output is the other's context */
  encoder: CompiledStack | undefined
  decoder: CompiledStack
  /** what `wrt` may name beside x, mask and context */
  differentiable: Differentiable
}

/** Pauses behind each layer. */
export function* compileModel(p: RequestProgram, request: ModelFields): Generator<void, CompiledModel> {
  const given = request.encoder
  if (given === undefined) {
    const decoder = yield* compileStack(p, request)
    return { encoder: undefined, decoder, differentiable: decoder.differentiable }
  }
  for (const name of ['context', 'context_lengths'] as const) {
    if (request[name] !== undefined) throw bothProblem('', 'encoder', name)
  }
  const sequence = contextOf(given.x, sequenceOf('/x', request.x), '/encoder/x')
  const encoder = yield* within(p, '/encoder', compileStack(p, encoderOf(request, given)))
  const decoder = yield* compileStack(p, request, { sequence, lengths: given.q_lengths })
  const ofEncoder = Object.entries(encoder.differentiable).map(([name, how]) => [`encoder.${name}`, how])
  return {
    encoder,
    decoder,
    differentiable: { 'encoder.x': true, ...Object.fromEntries(ofEncoder), ...decoder.differentiable },
  }
}

/** Beside its stack stands what holds for both; its own padding is that of its queries and of its keys. */
function encoderOf(request: ModelFields, { stack, x, q_lengths }: EncoderFields): StackFields {
  const { checkpoint, dropout, qk_norm, empty_rows } = request
  const seedFrom = 3 * request.stack.layers
  return { stack, x, q_lengths, kv_lengths: q_lengths, checkpoint, dropout, qk_norm, empty_rows, seedFrom }
}

/** What is wrong, and what is read, stands below that place of the request. */
function* within<T>(p: RequestProgram, pointer: string, compiling: Generator<void, T>): Generator<void, T> {
  const outer = p.inputsBelow
  p.inputsBelow = outer + pointer
  try {
    return yield* compiling
  } catch (error) {
    throw error instanceof Problem ? error.below(pointer) : error
  } finally {
    p.inputsBelow = outer
  }
}

/** How an endpoint goes through the layers of a stack, and what it answers of each. */
export interface Passes {
  /** whether entropies are to be computed, also where they are no part of the loss */
  entropy: boolean
  /** whether the gradients of parameters are answered with the others, rather than by layer */
  paramGradients: boolean
  /** Is the gradient of this parameter asked for, apart from `wrt`? */
  wants(role: Role, param: string): boolean
  forward(role: Role, stack: CompiledStack, rows: Rows): Generator<void, StackState>
  backward(
    role: Role,
    stack: CompiledStack,
    state: StackState,
    gradients: StackBackward,
  ): Generator<void, void>
}

/** The encoder, the decoder, the loss, and the same way back. */
export function* runModel(
  p: RequestProgram,
  request: ModelFields,
  { encoder, decoder, differentiable }: CompiledModel,
  passes: Passes,
): Generator<void> {
  const { position: _position, ...carried } = request.state ?? {}
  const own = ownInputs({ attention_kind: request.attention_kind, state: carried })
  const gradientSet = new GradientSet(request.backward?.wrt, {
    x: true,
    context: request.context && true,
    mask: maskGradient(request.mask),
    ...own.differentiable,
    'relative_bias.table': request.relative_bias && true,
    ...differentiable,
  })
  const shapes = [encoder, decoder].flatMap(stack => stack?.shape ?? [])
  const rows = rowsOf(p, shapes, passes.entropy || Boolean(request.backward?.entropy_weight))
  const encoded = encoder && (yield* passes.forward('encoder', encoder, { rows, from: 0 }))
  const context = encoded?.output ?? decoder.inputs.context
  const decoding = { ...decoder, inputs: { ...decoder.inputs, context } }
  const from = encoder === undefined ? 0 : rowCount(encoder.shape)
  const state = yield* passes.forward('decoder', decoding, { rows, from })
  if (request.backward === undefined) return

  const { gradOutput, scalars } = stackLoss(p, decoder, state, request.backward)
  const wantsEncoder = gradientSet.hasBelow('encoder.')
  const gradients = beginBackward(p, state, gradOutput, {
    scalars,
    needs: name => gradientSet.has(`params.${name}`) && passes.wants('decoder', name),
    needsMask: gradientSet.has('mask'),
    needsRelativeBias: gradientSet.has('relative_bias.table'),
    needsContext: wantsEncoder || gradientSet.has('context'),
    needsPast: name => gradientSet.has(`past.${name}`),
    needsOwn: name => gradientSet.has(name),
  })
  yield* passes.backward('decoder', decoder, state, gradients)
  answerGradients(p, {
    x: [gradientSet.has('x') ? gradients.grad : undefined, request.x],
    context: [gradients.context, request.context],
    mask: [gradients.mask, request.mask],
    'relative_bias.table': [gradients.relativeBias, request.relative_bias?.table],
    ...pastGradients(gradients.past, request.past),
    ...ownGradients(own, Object.fromEntries(gradients.own), name => gradientSet.has(name)),
  })
  const answerOwn = (prefix: string, { taken }: CompiledStack, { params }: StackBackward) => {
    if (passes.paramGradients) answerParams(p, prefix, taken, ({ name }) => params.get(name))
  }
  answerOwn('grads.', decoder, gradients)
  if (!wantsEncoder || encoder === undefined || encoded === undefined) return

  const ofEncoder = beginBackward(p, encoded, gradients.context as Ref, {
    ...NO_GRADIENTS,
    scalars,
    needs: name => gradientSet.has(`encoder.params.${name}`) && passes.wants('encoder', name),
  })
  yield* passes.backward('encoder', encoder, encoded, ofEncoder)
  const ofX = gradientSet.has('encoder.x') ? ofEncoder.grad : undefined
  answerGradients(p, { 'encoder.x': [ofX, request.encoder?.x] })
  answerOwn('grads.encoder.', encoder, ofEncoder)
}
