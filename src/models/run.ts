/** A model as steps: embeddings, its stack (behind an encoder, where it has one), and below it the way back to the embeddings. */
import type { Ref } from '../../workers/contract.ts'
import type { TensorSource } from '../formats/tensor.ts'
import type { BlockState } from '../layers/block.ts'
import type { RequestProgram } from '../layers/program-builder.ts'
import type { Given } from '../layers/sequence.ts'
import {
  backwardLayer,
  beginBackward,
  beginForward,
  endForward,
  forwardLayer,
  NO_GRADIENTS,
  type Rows,
  rowsOf,
  type StackBackward,
  type StackRequested,
  type StackState,
} from '../layers/stack.ts'
import { type CompiledStack, compileStack, type StackFields } from '../layers/stack-request.ts'
import { type Embedded, embed, embeddingGradients } from './embed.ts'
import { addGradient, type ProgramWeights, type WeightGradients } from './program-weights.ts'
import type { Tokens } from './tokens.ts'

interface SegmentSources {
  q: TensorSource
  kv: TensorSource
}

/** What a stack is told of its tokens' padding: lengths where all of it is on the right, else segments. */
export interface Padding {
  lengths?: TensorSource
  segments?: SegmentSources
  /** the same, of the token that a decoder behind an encoder begins with */
  ofStart?: SegmentSources
  /** where each token stands, if padding before it does not count */
  places?: TensorSource
}

export type Role = 'encoder' | 'decoder'

/** One stack that has run. */
export interface StackRun {
  role: Role
  compiled: CompiledStack
  embedded: Embedded
  state: StackState
}

export interface ModelRun {
  weights: ProgramWeights
  encoder?: StackRun
  /** the only one, where there is no encoder */
  decoder: StackRun
}

/** What the caller makes of each layer, right behind it. */
export interface Observer {
  requested(role: Role): Pick<StackRequested, 'maps' | 'crossMaps' | 'maxima' | 'crossMaxima'>
  entropy: boolean
  forward(role: Role, layer: number, block: BlockState): void
  /** the input of a stack */
  embedded(role: Role, x: Ref): void
  /** past keys and values of the decoder, as a request's */
  past?: Record<string, Given> | undefined
  /** position of the first token */
  first?: number
  /** of each row's token */
  scales?: Ref
  /** where the ids of the tokens stand, if the main thread does not know them */
  ids?: Ref
}

/** Pauses behind each layer. `start`: the tokens that a decoder behind an encoder begins with. `encoded`: the encoder, if it has run. */
export function* runModel(
  weights: ProgramWeights,
  tokens: Tokens,
  padding: Padding,
  observer: Observer,
  start?: Tokens,
  encoded?: StackRun,
): Generator<void, ModelRun> {
  const { p, model } = weights
  const { sizes, gainsEps } = model.plan.spec
  const shape = (of: Tokens) => [of.batch, of.positions, sizes.dModel]
  const fields = (of: Embedded, stack: StackFields['stack']): StackFields => ({
    stack,
    x: { shape: shape(of.tokens), ref: of.x },
    checkpoint: false,
    identities: model.plan.spec.identities,
    ...(gainsEps !== undefined && { qk_norm: { kind: 'rms', eps: gainsEps } as const }),
  })
  const padded = { kv_lengths: padding.lengths, segments: padding.segments }
  if (model.encoderStack === undefined || start === undefined) {
    const embedded = embed(weights, tokens, observer)
    observer.embedded('decoder', embedded.x)
    const stack = padding.places === undefined ? model.stack : placed(model.stack, padding.places)
    const given = { ...fields(embedded, stack), ...padded, past: observer.past }
    const compiled = yield* compileStack(p, given)
    const rows = { rows: rowsOf(p, [compiled.shape], observer.entropy), from: 0 }
    const state = yield* forward(p, observer, 'decoder', compiled, rows)
    return { weights, decoder: { role: 'decoder', compiled, embedded, state } }
  }
  let encoder = encoded
  if (encoder === undefined) {
    const embedded = embed(weights, tokens, { scales: observer.scales })
    observer.embedded('encoder', embedded.x)
    const compiled = yield* compileStack(p, { ...fields(embedded, model.encoderStack), ...padded })
    const rows = { rows: rowsOf(p, [compiled.shape], observer.entropy), from: 0 }
    const state = yield* forward(p, observer, 'encoder', compiled, rows)
    encoder = { role: 'encoder', compiled, embedded, state }
  }
  const embedded = embed(weights, start, { ids: observer.ids })
  observer.embedded('decoder', embedded.x)
  const source = { sequence: encoder.compiled.x, lengths: padding.lengths, segments: padding.ofStart }
  const given = { ...fields(embedded, model.stack), past: observer.past }
  const ofDecoder = yield* compileStack(p, given, source)
  const compiled = { ...ofDecoder, inputs: { ...ofDecoder.inputs, context: encoder.state.output } }
  const rows = { rows: rowsOf(p, [compiled.shape], observer.entropy), from: 0 }
  const state = yield* forward(p, observer, 'decoder', compiled, rows)
  return { weights, encoder, decoder: { role: 'decoder', compiled, embedded, state } }
}

/** The stack whose rotary embeddings turn each token by its own place. */
function placed(stack: StackFields['stack'], places: TensorSource): StackFields['stack'] {
  const { rope } = stack
  if (rope === undefined) return stack
  const at = { q_positions: places, k_positions: places }
  const turned = Array.isArray(rope) ? rope.map(each => each && { ...each, ...at }) : { ...rope, ...at }
  return { ...stack, rope: turned }
}

function* forward(
  p: RequestProgram,
  observer: Observer,
  role: Role,
  { inputs, shape, params }: CompiledStack,
  rows: Rows,
): Generator<void, StackState> {
  const requested = { entropy: observer.entropy, ...observer.requested(role) }
  const state = beginForward(p, shape, inputs, params, requested, rows)
  for (let layer = 0; layer < shape.layers; layer++) {
    observer.forward(role, layer, forwardLayer(p, state, layer))
    yield
  }
  endForward(p, state)
  return state
}

/** What is wanted of a way back. */
export interface BackwardObserver {
  /** by our names */
  wants(name: string): boolean
  /** `gradientOf`: of this layer's weights, and of those that are complete with it, by our names */
  layer?(
    role: Role,
    layer: number,
    found: ReturnType<typeof backwardLayer>,
    gradientOf: (name: string) => Ref | undefined,
  ): void
}

/** A gradient of the output of one of a model's stacks. */
export interface OutputGradient {
  role: Role
  gradOutput: Ref
}

/** From the gradient of a stack's output to that of the first one's embeddings; those of weights go to `found`. */
export function* runBackward(
  { weights, encoder, decoder }: ModelRun,
  { role, gradOutput }: OutputGradient,
  observer: BackwardObserver,
  found: WeightGradients,
): Generator<void, Ref> {
  if (encoder !== undefined && role === 'encoder') {
    const { grad } = yield* backward(weights, encoder, gradOutput, observer, found, false)
    return embeddingGradients(weights, encoder.embedded, grad, observer.wants, found)
  }
  const ofDecoder = yield* backward(weights, decoder, gradOutput, observer, found, encoder !== undefined)
  const own = embeddingGradients(weights, decoder.embedded, ofDecoder.grad, observer.wants, found)
  if (encoder === undefined) return own
  const ofEncoder = yield* backward(weights, encoder, ofDecoder.context as Ref, observer, found, false)
  return embeddingGradients(weights, encoder.embedded, ofEncoder.grad, observer.wants, found)
}

function* backward(
  weights: ProgramWeights,
  { role, state }: StackRun,
  gradOutput: Ref,
  observer: BackwardObserver,
  found: WeightGradients,
  needsContext: boolean,
): Generator<void, StackBackward> {
  const { p } = weights
  const prefix = role === 'encoder' ? 'encoder.' : ''
  const needs = (name: string) => observer.wants(prefix + name)
  const gradients = beginBackward(p, state, gradOutput, {
    ...NO_GRADIENTS,
    scalars: undefined,
    needs,
    needsContext,
  })
  for (let layer = state.shape.layers - 1; layer >= 0; layer--) {
    const ofLayer = backwardLayer(p, state, gradients, layer)
    observer.layer?.(role, layer, ofLayer, name => gradients.params.get(name.slice(prefix.length)))
    yield
  }
  for (const [name, gradient] of gradients.params) addGradient(weights, found, prefix + name, gradient)
  return gradients
}
