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
import type { AttentionPlan } from './attention/stages/stage.ts'
import {
  type BlockGradients,
  type BlockParams,
  type BlockShape,
  type BlockState,
  blockBackward,
  blockForward,
  type NormParams,
} from './block.ts'
import { type NormState, normBackward, normForward } from './norm.ts'
import type { RequestProgram } from './program-builder.ts'

export interface StackShape {
  layers: number
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
  maxima?: boolean | undefined
  maps(layer: number): readonly MapName[]
}

/** A stack on its way: what its layers so far have left, for the next one and for backward. */
export interface StackState {
  plan: AttentionPlan
  shape: StackShape
  params: StackParams
  requested: StackRequested
  /** input of each block, and where they are kept the blocks' states */
  inputs: Ref[]
  blocks: (BlockState | undefined)[]
  finalNorm?: NormState
  /** of every layer: [layers, batch, heads, queries] */
  rows: RowResults
  /** of the last layer so far */
  output: Ref
}

/** Begins a stack: `forwardLayer` for each layer follows, then `endForward`. */
export function beginForward(
  p: RequestProgram,
  plan: AttentionPlan,
  shape: StackShape,
  x: Ref,
  params: StackParams,
  requested: StackRequested,
): StackState {
  const { batch, heads, queries } = plan.geometry
  const elements = shape.layers * batch * heads * queries
  const rows: RowResults = {
    logsumexp: p.buffer({ type: 'float64', length: elements }),
    entropy: requested.entropy ? p.reals(elements) : undefined,
    attending: plan.sinks === undefined ? undefined : p.buffer({ type: 'float64', length: elements }),
  }
  const output = shape.sinusoidal === undefined ? x : addPositions(p, shape, x)
  return { plan, shape, params, requested, inputs: [], blocks: [], rows, output }
}

/** The next layer. What the caller emits for it, before the next one, stands right behind it. */
export function forwardLayer(p: RequestProgram, state: StackState, layer: number): BlockState {
  const { plan, shape, params, requested, rows } = state
  const { batch, heads, queries } = plan.geometry
  const rowsOfLayer = batch * heads * queries
  const part = (ref: Ref) => p.part(ref, layer * rowsOfLayer, rowsOfLayer)
  const into = {
    logsumexp: part(rows.logsumexp),
    entropy: rows.entropy === undefined ? undefined : part(rows.entropy),
    attending: rows.attending === undefined ? undefined : part(rows.attending),
  }
  state.inputs.push(state.output)
  p.stage(...params.draws[layer])
  const options = { entropy: requested.entropy, maxima: requested.maxima, maps: requested.maps(layer), into }
  const block = blockForward(p, plan, shape.block(layer), state.output, params.blocks[layer], options)
  state.blocks.push(shape.checkpoint ? undefined : block)
  state.output = block.output
  return block
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
  sinks?: Ref
  /** by full name: `layers.0.attention.w_q`, `final_norm.gamma` */
  params: Map<string, Ref>
  scalars: Ref | undefined
  needs(name: string): boolean
  needsMask: boolean
  needsSinks: boolean
}

/** Begins the backward pass of a stack that has ended: `backwardLayer` for each layer, from the last on, follows. */
export function beginBackward(
  p: RequestProgram,
  state: StackState,
  gradOutput: Ref,
  asked: Pick<StackBackward, 'scalars' | 'needs' | 'needsMask' | 'needsSinks'>,
): StackBackward {
  const backward: StackBackward = { grad: gradOutput, params: new Map(), ...asked }
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
  const { grad: gradOutput, params, scalars } = backward
  const needs = (name: string) => backward.needs(`layers.${layer}.${name}`)
  const gradients = blockBackward(p, block, gradOutput, scalars, needs, {
    mask: backward.needsMask,
    sinks: backward.needsSinks,
  })
  for (const [name, ref] of gradients.params) params.set(`layers.${layer}.${name}`, ref)
  if (gradients.mask !== undefined) backward.mask = addUp(p, backward.mask, gradients.mask)
  if (gradients.sinks !== undefined) backward.sinks = addUp(p, backward.sinks, gradients.sinks)
  backward.grad = gradients.x
  return { block, gradOutput, gradients }
}

/** A checkpointed block once more, from its input. */
function recompute(p: RequestProgram, { plan, shape, params, inputs, rows }: StackState, layer: number) {
  const options = { entropy: rows.entropy !== undefined }
  return blockForward(p, plan, shape.block(layer), inputs[layer], params.blocks[layer], options)
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

/** The mask and the sinks are shared by every layer: their gradients add up. */
function addUp(p: RequestProgram, sum: Ref | undefined, gradient: Ref): Ref {
  if (sum === undefined) return gradient
  const count = p.buffers[gradient].length
  const y = p.reals(count)
  p.stage(p.step(add, { a: sum, b: gradient, y }, { count, period: count }))
  return y
}
