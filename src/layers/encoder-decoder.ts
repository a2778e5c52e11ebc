/** What a request for a stack runs: the stack itself, and where it gives an encoder, that one before it. */
import type { TensorSource } from '../formats/tensor.ts'
import { bothProblem, Problem } from '../problem.ts'
import type { Differentiable } from './gradients.ts'
import type { RequestProgram } from './program-builder.ts'
import { contextOf, sequenceOf } from './sequence.ts'
import type { StackRequest } from './stack-fields.ts'
import { type CompiledStack, compileStack, type StackFields } from './stack-request.ts'

export interface EncoderFields {
  stack: StackRequest
  x: TensorSource
  q_lengths?: TensorSource | undefined
}

export interface ModelFields extends StackFields {
  encoder?: EncoderFields | undefined
}

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
  const { checkpoint, dropout, qk_norm } = request
  const seedFrom = 3 * request.stack.layers
  return { stack, x, q_lengths, kv_lengths: q_lengths, checkpoint, dropout, qk_norm, seedFrom }
}

/** What is wrong, and what is read, stands below that place of the request. */
function* within<T>(p: RequestProgram, pointer: string, compiling: Generator<void, T>): Generator<void, T> {
  p.inputsBelow = pointer
  try {
    return yield* compiling
  } catch (error) {
    throw error instanceof Problem ? error.below(pointer) : error
  } finally {
    p.inputsBelow = ''
  }
}
