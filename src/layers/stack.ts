/**
 * A transformer stack: positions added to x, blocks one after the other, a last norm; and below it its gradients.
 *
 * Forward keeps what backward reads, and nothing else: buffers that no later step names are given to others. With
 * `checkpoint` a block's input is all that is kept, and backward computes the block again, which gives the same bits.
 */
import { add } from '../../workers/ops/elementwise/op.ts'
import type { NormArgs } from '../../workers/ops/norm/op.ts'
import { sinusoidalTable } from '../../workers/ops/tables/op.ts'
import type { StepDraft } from '../../workers/program.ts'
import type { Ref } from '../../workers/task.ts'
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
  draws: StepDraft[][]
  finalNorm?: NormParams
}

/** What the attention of each layer is to give beside its output. */
export interface StackRequested {
  entropy: boolean
  maps(layer: number): readonly MapName[]
}

/** Told as soon as a layer's steps have been emitted, so that it may add its own behind them. */
export interface StackObserver {
  forward?(layer: number, state: BlockState): void
  /** `params`: the gradients so far, by full name */
  backward?(
    layer: number,
    gradOutput: Ref,
    gradients: BlockGradients,
    state: BlockState,
    params: ReadonlyMap<string, Ref>,
  ): void
}

export interface StackState {
  plan: AttentionPlan
  shape: StackShape
  params: StackParams
  /** input of each block, and where they are kept the blocks' states */
  inputs: Ref[]
  blocks: (BlockState | undefined)[]
  finalNorm?: NormState
  /** of every layer: [layers, batch, heads, queries] */
  rows: RowResults
  output: Ref
}

export function stackForward(
  p: RequestProgram,
  plan: AttentionPlan,
  shape: StackShape,
  x: Ref,
  params: StackParams,
  requested: StackRequested,
  observer: StackObserver = {},
): StackState {
  const { batch, heads, queries } = plan.geometry
  const rowsOfLayer = batch * heads * queries
  const rows: RowResults = {
    logsumexp: p.buffer({ type: 'float64', length: shape.layers * rowsOfLayer }),
    entropy: requested.entropy ? p.reals(shape.layers * rowsOfLayer) : undefined,
  }
  const part = (ref: Ref, layer: number) => p.part(ref, layer * rowsOfLayer, rowsOfLayer)
  const inputs: Ref[] = []
  const blocks: (BlockState | undefined)[] = []
  let current = shape.sinusoidal === undefined ? x : addPositions(p, shape, x)
  for (let layer = 0; layer < shape.layers; layer++) {
    const into = {
      logsumexp: part(rows.logsumexp, layer),
      entropy: rows.entropy === undefined ? undefined : part(rows.entropy, layer),
    }
    inputs.push(current)
    p.stage(...params.draws[layer])
    const options = { entropy: requested.entropy, maps: requested.maps(layer), into }
    const state = blockForward(p, plan, shape.block(layer), current, params.blocks[layer], options)
    observer.forward?.(layer, state)
    blocks.push(shape.checkpoint ? undefined : state)
    current = state.output
  }
  const finalNorm = params.finalNorm && normForward(p, current, params.finalNorm, shape.normArgs)
  return { plan, shape, params, inputs, blocks, finalNorm, rows, output: finalNorm?.y ?? current }
}

export interface StackGradients {
  x: Ref
  mask?: Ref
  /** by full name: `layers.0.attention.w_q`, `final_norm.gamma` */
  params: Map<string, Ref>
}

/** Differentiates stackForward, from the last layer to the first. */
export function stackBackward(
  p: RequestProgram,
  state: StackState,
  gradOutput: Ref,
  scalars: Ref | undefined,
  wants: (name: string) => boolean,
  wantMask: boolean,
  observer: StackObserver = {},
): StackGradients {
  const params = new Map<string, Ref>()
  let grad = gradOutput
  if (state.finalNorm !== undefined) {
    const needs = { gamma: wants('final_norm.gamma'), beta: wants('final_norm.beta') }
    const { x, gamma, beta } = normBackward(p, state.finalNorm, grad, needs)
    if (gamma !== undefined) params.set('final_norm.gamma', gamma)
    if (beta !== undefined) params.set('final_norm.beta', beta)
    grad = x
  }
  let mask: Ref | undefined
  for (let layer = state.shape.layers - 1; layer >= 0; layer--) {
    const block = state.blocks[layer] ?? recompute(p, state, layer)
    const wantsHere = (name: string) => wants(`layers.${layer}.${name}`)
    const gradients = blockBackward(p, block, grad, scalars, wantsHere, wantMask)
    for (const [name, ref] of gradients.params) params.set(`layers.${layer}.${name}`, ref)
    observer.backward?.(layer, grad, gradients, block, params)
    if (gradients.mask !== undefined) mask = addMasks(p, mask, gradients.mask)
    grad = gradients.x
  }
  return { x: grad, mask, params }
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

/** The mask is shared by every layer: its gradients add up. */
function addMasks(p: RequestProgram, sum: Ref | undefined, gradient: Ref): Ref {
  if (sum === undefined) return gradient
  const count = p.buffers[gradient].length
  const y = p.reals(count)
  p.stage(p.step(add, { a: sum, b: gradient, y }, { count, period: count }))
  return y
}
