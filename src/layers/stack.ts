/**
 * A transformer stack: positions added to x, blocks one after the other, a last norm; and below it its gradients.
 *
 * Forward keeps what backward reads, and nothing else: buffers that no later step names are given to others. With
 * `checkpoint` a block's input is all that is kept, and backward computes the block again, which gives the same bits.
 */
import type { Ref, Step } from '../../workers/contract.ts'
import { add } from '../../workers/ops/elementwise/op.ts'
import type { NormArgs } from '../../workers/ops/norm/op.ts'
import { sinusoidalTable } from '../../workers/ops/tables/op.ts'

import type { MapName, RowResults } from './attention/softmax.ts'
import {
  type BlockGradients,
  type BlockInputs,
  type BlockParams,
  type BlockShape,
  type BlockState,
  blockBackward,
  blockForward,
} from './block.ts'
import type { NormParams } from './block-parts.ts'
import type { Geometry } from './geometry.ts'
import { type NormState, normBackward, normForward } from './norm.ts'
import type { RequestProgram } from './program-builder.ts'

export interface StackShape {
  layers: number
  /** of a layer: 2 with cross-attention */
  attentions: 1 | 2
  geometry: Geometry
  /** add the sinusoidal encoding to x, from this position on */
  sinusoidal?: { positions: number; dim: number; offset: number; base: number }
  elements: number
  normArgs: NormArgs
  block(layer: number): BlockShape
  checkpoint: boolean
}

export interface StackParams {
  blocks: BlockParams[]
  /** for each block the steps that draw its parameters, run just before it: the first layer waits for its own alone */
  draws: Step[][]
  finalNorm?: NormParams
}

/** What the attention of each layer is to give beside its output. */
export interface StackRequested {
  entropy: boolean
  maxima?: boolean
  crossMaxima?: boolean
  maps(layer: number): readonly MapName[]
  crossMaps(layer: number): readonly MapName[]
}

/** Keys and values of a layer's past, or what they have left. */
export type LayerPast = Pick<BlockInputs, 'pastK' | 'pastV' | 'state'>

export interface StackInputs extends Pick<BlockInputs, 'x' | 'context'> {
  /** of each layer, where there is one */
  past: LayerPast[]
}

/** A stack on its way: what its layers so far have left, for the next one and for backward. */
export interface StackState {
  shape: StackShape
  params: StackParams
  requested: StackRequested
  /** input of each block, and where they are kept the blocks' states */
  inputs: Ref[]
  context: Ref | undefined
  past: LayerPast[]
  blocks: (BlockState | undefined)[]
  finalNorm?: NormState
  /** of every attention, from `rowsFrom` on those of this stack: [layers, 1 or 2, batch, heads, queries] */
  rows: RowResults
  rowsFrom: number
  /** of the last layer so far */
  output: Ref
}

/** Begins a stack: `forwardLayer` for each layer follows, then `endForward`. */
export function beginForward(
  p: RequestProgram,
  shape: StackShape,
  { x, context, past }: StackInputs,
  params: StackParams,
  requested: StackRequested,
  { rows, from: rowsFrom }: Rows,
): StackState {
  const output = shape.sinusoidal === undefined ? x : addPositions(p, shape, x)
  return { shape, params, requested, inputs: [], context, past, blocks: [], rows, rowsFrom, output }
}

/** The next layer. What the caller emits for it, before the next one, stands right behind it. */
export function forwardLayer(p: RequestProgram, state: StackState, layer: number): BlockState {
  const { shape, params, requested, rows, rowsFrom, context, past } = state
  const count = rowsOfOne(shape)
  const attention = (index: number, maps: readonly MapName[]) => {
    const part = (ref: Ref) => p.part(ref, rowsFrom + (layer * shape.attentions + index) * count, count)
    const entropy = rows.entropy === undefined ? undefined : part(rows.entropy)
    const maxima = index === 0 ? requested.maxima : requested.crossMaxima
    return { entropy: requested.entropy, maxima, maps, into: { logsumexp: part(rows.logsumexp), entropy } }
  }
  state.inputs.push(state.output)
  p.stage(...params.draws[layer])
  const wanted = {
    attention: attention(0, requested.maps(layer)),
    cross: shape.attentions > 1 ? attention(1, requested.crossMaps(layer)) : NOTHING,
  }
  const inputs = { x: state.output, context, ...past[layer] }
  const block = blockForward(p, shape.block(layer), inputs, params.blocks[layer], wanted)
  state.blocks.push(shape.checkpoint ? undefined : block)
  state.output = block.output
  return block
}

const NOTHING = { entropy: false }

/** Where the rows of a stack stand: from there on in what all stacks have. */
export interface Rows {
  rows: RowResults
  from: number
}

/** Room for the rows of all stacks that one loss looks at, one behind the other. */
export function rowsOf(p: RequestProgram, shapes: StackShape[], entropy: boolean): RowResults {
  const elements = shapes.reduce((sum, shape) => sum + rowCount(shape), 0)
  const logsumexp = p.buffer({ type: 'float64', length: elements })
  return { logsumexp, entropy: entropy ? p.reals(elements) : undefined }
}

export function rowCount(shape: StackShape): number {
  return shape.layers * shape.attentions * rowsOfOne(shape)
}

/** Rows of the scores of one attention. */
function rowsOfOne({ geometry: { batch, heads, queries } }: StackShape): number {
  return batch * heads * queries
}

/** The last norm, where there is one. */
export function endForward(p: RequestProgram, state: StackState): void {
  const { params, shape, output } = state
  if (params.finalNorm === undefined) return
  state.finalNorm = normForward(p, output, params.finalNorm, shape.normArgs)
  state.output = state.finalNorm.y
}

/** A backward pass on its way, from the last layer to the first. */
export interface StackBackward {
  /** of the output of the layer that comes next; after layer 0, of x */
  grad: Ref
  mask?: Ref
  /** of its table */
  relativeBias?: Ref
  context?: Ref
  /** by full name: `layers.0.attention.w_q`, `final_norm.gamma` */
  params: Map<string, Ref>
  /** by name: `layers.0.k` */
  past: Map<string, Ref>
  /** of gates, and of the state by name: `state.layers.0.s` */
  own: Map<string, Ref>
  scalars: Ref | undefined
  needs(name: string): boolean
  needsMask: boolean
  needsRelativeBias: boolean
  needsContext: boolean
  needsPast(name: string): boolean
  needsOwn(name: string): boolean
}

/** The parameter that all layers share. */
export const BIAS_TABLE = 'relative_bias.table'

/** Of a stack without mask, context, past, gates and state. */
export const NO_GRADIENTS = {
  needsMask: false,
  needsRelativeBias: false,
  needsContext: false,
  needsPast: () => false,
  needsOwn: () => false,
}

/** Begins the backward pass of a stack that has ended: `backwardLayer` for each layer, from the last on, follows. */
export function beginBackward(
  p: RequestProgram,
  state: StackState,
  gradOutput: Ref,
  asked: Omit<StackBackward, 'grad' | 'params' | 'past' | 'own'>,
): StackBackward {
  const backward: StackBackward = {
    grad: gradOutput,
    params: new Map(),
    past: new Map(),
    own: new Map(),
    ...asked,
  }
  if (state.finalNorm === undefined) return backward
  const ofNorm = { gamma: asked.needs('final_norm.gamma'), beta: asked.needs('final_norm.beta') }
  const { x, gamma, beta } = normBackward(p, state.finalNorm, gradOutput, ofNorm)
  if (gamma !== undefined) backward.params.set('final_norm.gamma', gamma)
  if (beta !== undefined) backward.params.set('final_norm.beta', beta)
  backward.grad = x
  return backward
}

/** The layer before; `gradOutput` is what reached its output. */
export function backwardLayer(
  p: RequestProgram,
  state: StackState,
  backward: StackBackward,
  layer: number,
): { block: BlockState; gradOutput: Ref; gradients: BlockGradients } {
  const block = state.blocks[layer] ?? recompute(p, state, layer)
  const { grad: gradOutput, params, scalars, needsMask: wantMask, needsContext: wantContext } = backward
  const wantRelativeBias = backward.needsRelativeBias || backward.needs(BIAS_TABLE)
  const wants = (name: string) => backward.needs(`layers.${layer}.${name}`)
  const wantPast = (name: string) => backward.needsPast(`layers.${layer}.${name}`)
  const ownName = (name: string) => name.replace(/^state\./, `state.layers.${layer}.`)
  const wantOwn = (name: string) => backward.needsOwn(ownName(name))
  const asked = { scalars, wants, wantMask, wantRelativeBias, wantContext, wantPast, wantOwn }
  const gradients = blockBackward(block, gradOutput, asked)
  if (gradients.pastK !== undefined) backward.past.set(`layers.${layer}.k`, gradients.pastK)
  if (gradients.pastV !== undefined) backward.past.set(`layers.${layer}.v`, gradients.pastV)
  for (const [name, ref] of Object.entries(gradients.own ?? {})) {
    // gates are shared by every layer: their gradients add up
    if (ref !== undefined && wantOwn(name)) {
      backward.own.set(ownName(name), addTo(p, backward.own.get(ownName(name)), ref))
    }
  }
  for (const [name, ref] of gradients.params) params.set(`layers.${layer}.${name}`, ref)
  for (const name of ['mask', 'relativeBias', 'context'] as const) {
    const gradient = gradients[name]
    if (gradient !== undefined) backward[name] = addTo(p, backward[name], gradient)
  }
  if (layer === 0 && backward.relativeBias !== undefined) params.set(BIAS_TABLE, backward.relativeBias)
  backward.grad = gradients.x
  return { block, gradOutput, gradients }
}

/** A checkpointed block once more, from its input. */
function recompute(
  p: RequestProgram,
  { shape, params, inputs, context, past, rows }: StackState,
  layer: number,
) {
  const wanted = { entropy: rows.entropy !== undefined }
  const from = { x: inputs[layer], context, ...past[layer] }
  return blockForward(p, shape.block(layer), from, params.blocks[layer], { attention: wanted, cross: wanted })
}

/** x plus its sinusoidal encoding, the same for every batch element; a constant, so its backward is nothing. */
function addPositions(p: RequestProgram, { sinusoidal, elements }: StackShape, x: Ref): Ref {
  const args = sinusoidal as NonNullable<StackShape['sinusoidal']>
  const period = args.positions * args.dim
  const encoding = p.reals(period)
  p.stage(p.step(sinusoidalTable, { encoding }, args))
  const y = p.reals(elements)
  p.stage(p.step(add, { a: x, b: encoding, y }, { count: elements, period }))
  return y
}

/** The mask, the table of the relative bias and the context are shared by every layer: their gradients add up. */
function addTo(p: RequestProgram, sum: Ref | undefined, gradient: Ref): Ref {
  if (sum === undefined) return gradient
  const count = p.buffers[gradient].length
  const y = p.reals(count)
  p.stage(p.step(add, { a: sum, b: gradient, y }, { count, period: count }))
  return y
}
